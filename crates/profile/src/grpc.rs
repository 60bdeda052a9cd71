//! The service's RPCs: each opens its context, finds whom it is about, and calls one function.

use careeros_shared::{
    batch::Batch,
    db::Db,
    directory::{Directory, Subject},
    grpc::open,
    proto::{
        common::Ack,
        userprofile::{
            GetProfileRequest, GetProfileResponse, GetUserSkillMatrixRequest, GetUserSkillMatrixResponse,
            UpdateProfileRequest, UpsertSkillRequest,
            user_profile_service_server::{UserProfileService, UserProfileServiceServer},
        },
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    profiles::{self, Change},
    skills,
};

/// What the RPCs work with.
#[derive(Debug, Clone)]
pub struct App {
    db: Db,
    directory: Directory,
    profiles: Batch<Subject, GetProfileResponse>,
}

impl App {
    /// RPCs on the database `user_profile`, with a directory that knows users' tenants.
    pub fn new(db: Db, directory: Directory) -> Self {
        let profiles = Batch::new(&db, profiles::find);
        Self { db, directory, profiles }
    }

    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(UserProfileServiceServer::new(self))
    }
}

const OK: Ack = Ack { ok: true, message: String::new() };

#[tonic::async_trait]
impl UserProfileService for App {
    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<GetProfileResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(self.profiles.submit(subject).await?))
    }

    async fn update_profile(&self, request: Request<UpdateProfileRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        profiles::update(&self.db, &context, subject, &Change::parse(message)?).await?;
        Ok(Response::new(OK))
    }

    async fn upsert_skill(&self, request: Request<UpsertSkillRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(skills::upsert(&self.db, &context, subject, &message).await?))
    }

    async fn get_user_skill_matrix(
        &self,
        request: Request<GetUserSkillMatrixRequest>,
    ) -> Result<Response<GetUserSkillMatrixResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(GetUserSkillMatrixResponse { skills: skills::list(&self.db, subject).await? }))
    }
}
