//! The service's RPCs: each opens its context, finds whom it is about, and calls one function.

use careeros_shared::{
    batch::Batch,
    db::Db,
    directory::Directory,
    grpc::open,
    id,
    proto::{
        common::Ack,
        lms::{
            CompleteLessonRequest, CreateCourseRequest, CreateCourseResponse, CreateLessonRequest,
            CreateLessonResponse, CreateModuleRequest, CreateModuleResponse, EnrollRequest, EnrollResponse,
            GetCertificateRequest, GetCertificateResponse, GetCourseRequest, GetCourseResponse, GetEnrollmentRequest,
            GetEnrollmentResponse, ListCoursesRequest, ListCoursesResponse, ListEnrollmentsRequest,
            ListEnrollmentsResponse, PublishCourseRequest,
            lms_service_server::{LmsService, LmsServiceServer},
        },
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    access::{EDITORS, Viewer},
    catalogue, certificates,
    completions::{self, Completion, Outcome},
    courses, enrollments, lessons, modules, publication,
};

/// What the RPCs work with.
#[derive(Debug, Clone)]
pub struct App {
    db: Db,
    directory: Directory,
    completions: Batch<Completion, Outcome>,
}

impl App {
    /// RPCs on the database `lms`, with a directory that knows users' tenants.
    pub fn new(db: Db, directory: Directory) -> Self {
        let completions = Batch::new(&db, completions::create_all);
        Self { db, directory, completions }
    }

    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(LmsServiceServer::new(self))
    }
}

#[tonic::async_trait]
impl LmsService for App {
    async fn get_course(&self, request: Request<GetCourseRequest>) -> Result<Response<GetCourseResponse>, Status> {
        let (context, message) = open(request)?;
        let course_id = id::parse("courseId", &message.course_id)?;
        Ok(Response::new(courses::get(&self.db, Viewer::of(&context)?, course_id).await?))
    }

    async fn get_enrollment(
        &self,
        request: Request<GetEnrollmentRequest>,
    ) -> Result<Response<GetEnrollmentResponse>, Status> {
        let (context, message) = open(request)?;
        let course_id = id::parse("courseId", &message.course_id)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        let status = enrollments::find_status(&self.db, subject, course_id).await?;
        let enrolled = status.is_some();
        Ok(Response::new(GetEnrollmentResponse { enrolled, enrollment_status: status.unwrap_or_default() }))
    }

    async fn create_course(
        &self,
        request: Request<CreateCourseRequest>,
    ) -> Result<Response<CreateCourseResponse>, Status> {
        let (context, message) = open(request)?;
        context.user()?.require_any(&EDITORS)?;
        let new = courses::New::parse(&message)?;
        let owner = self.directory.subject(&context, &message.instructor_id, "").await?;
        Ok(Response::new(courses::create(&self.db, &context, owner, &message, &new).await?))
    }

    async fn publish_course(&self, request: Request<PublishCourseRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        let course_id = id::parse("courseId", &message.course_id)?;
        publication::publish(&self.db, &context, course_id).await?;
        Ok(Response::new(Ack { ok: true, message: String::new() }))
    }

    async fn create_module(
        &self,
        request: Request<CreateModuleRequest>,
    ) -> Result<Response<CreateModuleResponse>, Status> {
        let (context, message) = open(request)?;
        Ok(Response::new(modules::create(&self.db, &context, &message).await?))
    }

    async fn create_lesson(
        &self,
        request: Request<CreateLessonRequest>,
    ) -> Result<Response<CreateLessonResponse>, Status> {
        let (context, message) = open(request)?;
        Ok(Response::new(lessons::create(&self.db, &context, &message).await?))
    }

    async fn list_courses(
        &self,
        request: Request<ListCoursesRequest>,
    ) -> Result<Response<ListCoursesResponse>, Status> {
        let (context, message) = open(request)?;
        Ok(Response::new(catalogue::list(&self.db, Viewer::of(&context)?, &message).await?))
    }

    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        Ok(Response::new(enrollments::create(&self.db, &context, subject, &message).await?))
    }

    async fn complete_lesson(&self, request: Request<CompleteLessonRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        let certificate = certificates::New::at(context.now, rand::random());
        let (db, together) = (&self.db, &self.completions);
        Ok(Response::new(completions::create(db, together, &context, subject, &message, certificate).await?))
    }

    async fn list_enrollments(
        &self,
        request: Request<ListEnrollmentsRequest>,
    ) -> Result<Response<ListEnrollmentsResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(enrollments::list(&self.db, subject, &message).await?))
    }

    async fn get_certificate(
        &self,
        request: Request<GetCertificateRequest>,
    ) -> Result<Response<GetCertificateResponse>, Status> {
        let (_, message) = open(request)?;
        Ok(Response::new(certificates::get(&self.db, &message.verification_code).await?))
    }
}
