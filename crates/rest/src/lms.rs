//! `/lms`: courses and their catalogue, enrollments, completed lessons, certificates.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, patch, post},
};
use careeros_shared::{
    Result,
    context::Context,
    extract::{self, Path, Query, UserContext},
    grpc::Transport,
    http::Created,
    proto::lms::{
        CompleteLessonRequest, CreateCourseRequest, CreateCourseResponse, CreateLessonRequest, CreateLessonResponse,
        CreateModuleRequest, CreateModuleResponse, EnrollRequest, GetCertificateRequest, GetCertificateResponse,
        GetCourseRequest, GetCourseResponse, ListCoursesRequest, ListCoursesResponse, ListEnrollmentsRequest,
        ListEnrollmentsResponse, PublishCourseRequest, lms_service_client::LmsServiceClient,
    },
};
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::Done;

type Client = LmsServiceClient<Transport>;

/// The routes, answered by the learning management service behind `transport`.
pub fn routes(transport: Transport) -> Router {
    Router::new()
        .route("/lms/courses", post(create_course).get(list_courses))
        .route("/lms/courses/{course_id}", get(get_course))
        .route("/lms/courses/{course_id}/publish", patch(publish_course))
        .route("/lms/courses/{course_id}/modules", post(create_module))
        .route("/lms/modules/{module_id}/lessons", post(create_lesson))
        .route("/lms/enrollments", post(enroll))
        .route("/lms/enrollments/{user_id}", get(list_enrollments))
        .route("/lms/lessons/complete", post(complete_lesson))
        .route("/lms/certificates/{verification_code}", get(get_certificate))
        .with_state(Client::new(transport))
}

/// A course to be made; a draft until it is published.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateCourse {
    instructor_id: String,
    title: String,
    description: Option<String>,
    // A number or, for those who keep money out of floats, its decimal text.
    price_usd: Option<Decimal>,
    visibility: Option<String>,
}

/// A module; without an order it comes last.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateModule {
    title: String,
    module_order: Option<i32>,
}

/// A lesson; without an order it comes last.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateLesson {
    title: String,
    content_type: String,
    duration_minutes: Option<i32>,
    skill_keys: Option<Vec<String>>,
    lesson_order: Option<i32>,
}

/// Who takes which course.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enroll {
    user_id: Option<String>,
    course_id: String,
    tenant_id: Option<String>,
}

/// Who has completed which lesson.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteLesson {
    user_id: Option<String>,
    tenant_id: Option<String>,
    course_id: String,
    lesson_id: String,
    time_spent_minutes: i32,
}

/// Which page of the catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    q: Option<String>,
    cursor: Option<String>,
    limit: Option<i32>,
}

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    cursor: Option<String>,
    limit: Option<i32>,
}

async fn create_course(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<CreateCourse>,
) -> Result<Created<CreateCourseResponse>> {
    let request = CreateCourseRequest {
        meta: None,
        instructor_id: body.instructor_id,
        title: body.title,
        description: body.description.unwrap_or_default(),
        price_usd: body.price_usd.map(|price| price.to_string()).unwrap_or_default(),
        visibility: body.visibility.unwrap_or_default(),
    };
    Ok(Created(client.create_course(context.request(request)).await?.into_inner()))
}

async fn list_courses(
    State(mut client): State<Client>,
    context: Context,
    Query(search): Query<Search>,
) -> Result<Json<ListCoursesResponse>> {
    let request = ListCoursesRequest {
        meta: None,
        q: search.q.unwrap_or_default(),
        cursor: search.cursor.unwrap_or_default(),
        limit: search.limit.unwrap_or_default(),
    };
    Ok(Json(client.list_courses(context.request(request)).await?.into_inner()))
}

async fn get_course(
    State(mut client): State<Client>,
    context: Context,
    Path(course_id): Path<String>,
) -> Result<Json<GetCourseResponse>> {
    let request = GetCourseRequest { meta: None, course_id };
    Ok(Json(client.get_course(context.request(request)).await?.into_inner()))
}

async fn publish_course(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(course_id): Path<String>,
) -> Result<Json<Done>> {
    let request = PublishCourseRequest { meta: None, course_id };
    Ok(Json(client.publish_course(context.request(request)).await?.into_inner().into()))
}

async fn create_module(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(course_id): Path<String>,
    extract::Json(body): extract::Json<CreateModule>,
) -> Result<Created<CreateModuleResponse>> {
    let request = CreateModuleRequest { meta: None, course_id, title: body.title, module_order: body.module_order };
    Ok(Created(client.create_module(context.request(request)).await?.into_inner()))
}

async fn create_lesson(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(module_id): Path<String>,
    extract::Json(body): extract::Json<CreateLesson>,
) -> Result<Created<CreateLessonResponse>> {
    let request = CreateLessonRequest {
        meta: None,
        module_id,
        title: body.title,
        content_type: body.content_type,
        duration_minutes: body.duration_minutes,
        skill_keys: body.skill_keys.unwrap_or_default(),
        lesson_order: body.lesson_order,
    };
    Ok(Created(client.create_lesson(context.request(request)).await?.into_inner()))
}

async fn enroll(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<Enroll>,
) -> Result<(StatusCode, Json<Done>)> {
    let request = EnrollRequest {
        meta: None,
        user_id: body.user_id.unwrap_or_default(),
        course_id: body.course_id,
        tenant_id: body.tenant_id.unwrap_or_default(),
    };
    let answer = client.enroll(context.request(request)).await?.into_inner();
    let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Done { ok: answer.ok })))
}

async fn list_enrollments(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<ListEnrollmentsResponse>> {
    let request = ListEnrollmentsRequest {
        meta: None,
        user_id,
        cursor: paging.cursor.unwrap_or_default(),
        limit: paging.limit.unwrap_or_default(),
    };
    Ok(Json(client.list_enrollments(context.request(request)).await?.into_inner()))
}

async fn complete_lesson(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<CompleteLesson>,
) -> Result<Json<Done>> {
    let request = CompleteLessonRequest {
        meta: None,
        user_id: body.user_id.unwrap_or_default(),
        tenant_id: body.tenant_id.unwrap_or_default(),
        course_id: body.course_id,
        lesson_id: body.lesson_id,
        time_spent_minutes: body.time_spent_minutes,
    };
    Ok(Json(client.complete_lesson(context.request(request)).await?.into_inner().into()))
}

async fn get_certificate(
    State(mut client): State<Client>,
    context: Context,
    Path(verification_code): Path<String>,
) -> Result<Json<GetCertificateResponse>> {
    // Public: a token that happens to come along, perhaps an expired one, has no say.
    let request = GetCertificateRequest { meta: None, verification_code };
    Ok(Json(client.get_certificate(context.anonymous().request(request)).await?.into_inner()))
}
