//! The service's RPCs: each opens its context, finds whom it is about, and calls one function.

use careeros_shared::{
    db::Db,
    directory::Directory,
    grpc::open,
    proto::edutracker::{
        GetLearningProgressRequest, GetLearningProgressResponse,
        edu_tracker_service_server::{EduTrackerService, EduTrackerServiceServer},
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::progress;

/// What the RPCs work with.
#[derive(Debug, Clone)]
pub struct App {
    /// The database `edu_tracker`.
    pub db: Db,
    /// Knows users' tenants.
    pub directory: Directory,
}

impl App {
    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(EduTrackerServiceServer::new(self))
    }
}

#[tonic::async_trait]
impl EduTrackerService for App {
    async fn get_learning_progress(
        &self,
        request: Request<GetLearningProgressRequest>,
    ) -> Result<Response<GetLearningProgressResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(progress::get(&self.db, subject, context.now).await?.into()))
    }
}
