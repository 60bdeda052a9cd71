//! `/lms`: courses and their catalogue, enrollments, completed lessons, certificates.

use axum::{Json, Router, extract::State, http::StatusCode};
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
    proto::words,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Done,
    api::{Api, Area, schemas},
    page::Page,
};

mod docs;

type Client = LmsServiceClient<Transport>;

/// The routes with their documentation, answered by the learning management service behind `transport`.
pub fn api(transport: Transport) -> Api {
    Area::new("LMS", docs::ABOUT, Client::new(transport))
        .post("/lms/courses", create_course, docs::create_course())
        .get("/lms/courses", list_courses, docs::list_courses())
        .get("/lms/courses/{course_id}", get_course, docs::get_course())
        .patch("/lms/courses/{course_id}/publish", publish_course, docs::publish_course())
        .post("/lms/courses/{course_id}/modules", create_module, docs::create_module())
        .post("/lms/modules/{module_id}/lessons", create_lesson, docs::create_lesson())
        .post("/lms/enrollments", enroll, docs::enroll())
        .get("/lms/enrollments/{user_id}", list_enrollments, docs::list_enrollments())
        .post("/lms/lessons/complete", complete_lesson, docs::complete_lesson())
        .get("/lms/certificates/{verification_code}", get_certificate, docs::get_certificate())
        .build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

/// A course to be made; a draft until it is published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateCourse {
    /// The user who owns it; an ADMIN may name another of the tenant.
    #[schema(format = "uuid")]
    instructor_id: String,
    #[schema(min_length = 1, max_length = 255)]
    title: String,
    #[schema(max_length = 10_000)]
    description: Option<String>,
    /// A number or, for those who keep money out of floats, its decimal text; 0 where it is not sent.
    #[schema(schema_with = schemas::optional_usd::<99_999_999, 99>, required = false)]
    price_usd: Option<Decimal>,
    /// PUBLIC where it is not sent.
    #[schema(value_type = Option<words::Visibility>)]
    visibility: Option<String>,
}

/// A module; without an order it comes last.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateModule {
    #[schema(min_length = 1, max_length = 255)]
    title: String,
    #[schema(minimum = 1, maximum = 10_000)]
    module_order: Option<i32>,
}

/// A lesson; without an order it comes last.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateLesson {
    #[schema(min_length = 1, max_length = 255)]
    title: String,
    #[schema(value_type = words::ContentType)]
    content_type: String,
    #[schema(minimum = 0)]
    duration_minutes: Option<i32>,
    /// Skills that completing the lesson counts for.
    #[schema(schema_with = schemas::texts::<50, 128>, required = false)]
    skill_keys: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 10_000)]
    lesson_order: Option<i32>,
}

/// Who takes which course.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enroll {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    course_id: String,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
}

/// Who has completed which lesson.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteLesson {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    #[schema(format = "uuid")]
    course_id: String,
    #[schema(format = "uuid")]
    lesson_id: String,
    #[schema(minimum = 0, maximum = 1440)]
    time_spent_minutes: i32,
}

/// Which page of the catalogue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Courses whose title and description have words that begin with each of its words.
    #[param(max_length = 200, example = "rust", nullable = false)]
    q: Option<String>,
    /// The `next_cursor` of an earlier answer.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many; 20 where it is not sent.
    #[param(minimum = 1, maximum = 100, default = 20, example = 20, nullable = false)]
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
    Query(page): Query<Page>,
) -> Result<Json<ListEnrollmentsResponse>> {
    let (cursor, limit) = page.into_parts();
    let request = ListEnrollmentsRequest { meta: None, user_id, cursor, limit };
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
