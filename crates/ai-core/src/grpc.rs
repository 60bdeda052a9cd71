//! The service's RPCs: each opens its context, finds whom it is about, and calls one function.

use std::sync::Arc;

use careeros_shared::{
    directory::Directory,
    grpc::open,
    proto::aicore::{
        ChatMentorRequest, ChatMentorResponse, ExecuteFlowRequest, ExecuteFlowResponse, GetFlowUsageRequest,
        GetFlowUsageResponse, ListFlowsRequest, ListFlowsResponse,
        ai_core_service_server::{AiCoreService, AiCoreServiceServer},
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{Core, chat, executions, usage};

/// What the RPCs work with.
#[derive(Debug, Clone)]
pub struct App {
    /// What executions need.
    pub core: Arc<Core>,
    /// Knows users' tenants.
    pub directory: Directory,
}

impl App {
    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(AiCoreServiceServer::new(self))
    }
}

#[tonic::async_trait]
impl AiCoreService for App {
    type StreamChatMentorStream = chat::Chunks;

    async fn execute_flow(
        &self,
        request: Request<ExecuteFlowRequest>,
    ) -> Result<Response<ExecuteFlowResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        let core = Arc::clone(&self.core);
        let work = async move { executions::execute(&core, &context, subject, &message).await };
        Ok(Response::new(self.core.finish(work).await?))
    }

    async fn get_flow_usage(
        &self,
        request: Request<GetFlowUsageRequest>,
    ) -> Result<Response<GetFlowUsageResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(usage::get(&self.core.db, subject).await?))
    }

    async fn chat_mentor(&self, request: Request<ChatMentorRequest>) -> Result<Response<ChatMentorResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        let core = Arc::clone(&self.core);
        let work = async move { chat::answer(&core, &context, subject, &message).await };
        Ok(Response::new(self.core.finish(work).await?))
    }

    async fn stream_chat_mentor(
        &self,
        request: Request<ChatMentorRequest>,
    ) -> Result<Response<Self::StreamChatMentorStream>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        Ok(Response::new(chat::stream(&self.core, &context, subject, &message).await?))
    }

    async fn list_flows(&self, request: Request<ListFlowsRequest>) -> Result<Response<ListFlowsResponse>, Status> {
        let (context, _) = open(request)?;
        context.user()?;
        let flows = self.core.flows.list(context.now).await?;
        Ok(Response::new(ListFlowsResponse { items: flows.iter().map(|flow| flow.as_ref().into()).collect() }))
    }
}
