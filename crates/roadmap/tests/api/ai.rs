//! AI core as the roadmap service meets it: its RPCs behind the layers that production has, with answers that a test sets.

use std::sync::{Arc, Mutex};

use careeros_shared::{
    error::Error,
    grpc::open,
    proto::aicore::{
        ChatMentorChunk, ChatMentorRequest, ChatMentorResponse, ExecuteFlowRequest, ExecuteFlowResponse,
        GetFlowUsageRequest, GetFlowUsageResponse, ListFlowsRequest, ListFlowsResponse,
        ai_core_service_server::{AiCoreService, AiCoreServiceServer},
    },
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, codegen::tokio_stream, service::Routes};
use uuid::Uuid;

use crate::any_id;

/// What AI core does with a flow.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    Answers,
    Denies,
    IsAway,
    Fails,
}

/// A flow that was run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) flow: String,
    pub(crate) input: Value,
    /// Whose token came with the call.
    pub(crate) caller: Uuid,
    /// Whom the flow was run for.
    pub(crate) user_id: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) execution_id: Uuid,
}

#[derive(Debug, Clone)]
pub(crate) struct AiCore {
    pub(crate) mood: Arc<Mutex<Mood>>,
    /// What `interview_simulation` would ask next.
    pub(crate) next_question: Arc<Mutex<String>>,
    /// The id of the next execution, where the test has to know it before.
    pub(crate) next_execution: Arc<Mutex<Option<Uuid>>>,
    pub(crate) runs: Arc<Mutex<Vec<Run>>>,
}

impl Default for AiCore {
    fn default() -> Self {
        Self {
            mood: Arc::new(Mutex::new(Mood::Answers)),
            next_question: Arc::default(),
            next_execution: Arc::default(),
            runs: Arc::default(),
        }
    }
}

impl AiCore {
    pub(crate) fn routes(self) -> Routes {
        Routes::new(AiCoreServiceServer::new(self))
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    fn output(&self, flow: &str) -> Value {
        match flow {
            "interview_simulation" => json!({"questions": [], "feedback": [], "score": 0,
                "next_question": *self.next_question.lock().unwrap()}),
            _ => json!({"summary": "Ten weeks to go.", "timeline_weeks": 10, "recommended_courses": [],
                "stages": [{"order": 1, "title": "Foundation"}, {"order": 2, "title": "Projects"}]}),
        }
    }
}

#[tonic::async_trait]
impl AiCoreService for AiCore {
    async fn execute_flow(
        &self,
        request: Request<ExecuteFlowRequest>,
    ) -> Result<Response<ExecuteFlowResponse>, Status> {
        let (context, message) = open(request)?;
        let run = Run {
            flow: message.flow_name.clone(),
            input: serde_json::from_str(&message.input_json).unwrap(),
            caller: context.user()?.id,
            user_id: message.user_id,
            idempotency_key: context.idempotency_key.clone(),
            execution_id: self.next_execution.lock().unwrap().take().unwrap_or_else(any_id),
        };
        let mood = self.mood.lock().unwrap().clone();
        let (status, output) = match mood {
            Mood::Denies => return Err(Error::not_entitled("the monthly quota is spent").into()),
            Mood::IsAway => return Err(Status::unavailable("tcp connect error")),
            Mood::Fails => ("FAILED", json!({})),
            Mood::Answers => ("SUCCESS", self.output(&run.flow)),
        };
        let execution_id = run.execution_id.to_string();
        self.runs.lock().unwrap().push(run);
        Ok(Response::new(ExecuteFlowResponse {
            execution_id,
            status: status.to_owned(),
            output_json: output.to_string(),
            ..ExecuteFlowResponse::default()
        }))
    }

    async fn get_flow_usage(&self, _: Request<GetFlowUsageRequest>) -> Result<Response<GetFlowUsageResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn chat_mentor(&self, _: Request<ChatMentorRequest>) -> Result<Response<ChatMentorResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    type StreamChatMentorStream = tokio_stream::Empty<Result<ChatMentorChunk, Status>>;

    async fn stream_chat_mentor(
        &self,
        _: Request<ChatMentorRequest>,
    ) -> Result<Response<Self::StreamChatMentorStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_flows(&self, _: Request<ListFlowsRequest>) -> Result<Response<ListFlowsResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}
