//! `/ai`: flows, the mentor, usage.

use axum::{
    Json, Router,
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use careeros_shared::{
    Result,
    error::Error,
    extract::{self, Path, UserContext},
    grpc::Transport,
    proto::aicore::{
        ChatMentorChunk, ChatMentorRequest, ChatMentorResponse, ChatMessage, ExecuteFlowRequest, ExecuteFlowResponse,
        GetFlowUsageRequest, GetFlowUsageResponse, ListFlowsRequest, ai_core_service_client::AiCoreServiceClient,
        chat_mentor_chunk::Kind,
    },
    proto::words,
};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tonic::Status;
use utoipa::ToSchema;

use crate::api::{Api, Area};

mod docs;

type Client = AiCoreServiceClient<Transport>;

/// The routes with their documentation, answered by the AI core behind `transport`.
pub fn api(transport: Transport) -> Api {
    Area::new("AI", docs::ABOUT, Client::new(transport))
        .get("/ai/flows", list_flows, docs::list_flows())
        .post("/ai/flows/execute", execute_flow, docs::execute_flow())
        .post("/ai/chat", chat, docs::chat())
        .post("/ai/chat/stream", stream_chat, docs::stream_chat())
        .get("/ai/usage/{user_id}", get_usage, docs::get_usage())
        .build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

/// A flow to carry out; without a version its newest.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecuteFlow {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    /// What `GET /v1/ai/flows` lists.
    #[schema(min_length = 1)]
    flow_name: String,
    /// The newest active one where it is not sent.
    flow_version: Option<String>,
    /// Up to 20,000 characters serialised; checked against the flow's input schema.
    #[schema(value_type = Object)]
    input: Value,
}

/// A conversation with the mentor; the last message is the one to answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chat {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    /// `career` where it is empty or not sent.
    #[schema(max_length = 64)]
    mode: Option<String>,
    /// Together up to 20,000 characters; the last one is not the assistant's.
    #[schema(min_items = 1, max_items = 50)]
    messages: Vec<Turn>,
}

/// One message of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    #[schema(value_type = words::ChatRole)]
    role: String,
    #[schema(min_length = 1, max_length = 8_000)]
    content: String,
}

impl From<Chat> for ChatMentorRequest {
    fn from(chat: Chat) -> Self {
        let message = |turn: Turn| ChatMessage { role: turn.role, content: turn.content };
        Self {
            meta: None,
            user_id: chat.user_id.unwrap_or_default(),
            tenant_id: chat.tenant_id.unwrap_or_default(),
            mode: chat.mode.unwrap_or_default(),
            messages: chat.messages.into_iter().map(message).collect(),
        }
    }
}

/// The registry.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlowList {
    items: Vec<FlowView>,
}

/// A flow of the registry with its JSON Schemas (2020-12).
#[derive(Debug, Serialize, ToSchema)]
pub struct FlowView {
    flow_name: String,
    flow_version: String,
    #[schema(value_type = Object)]
    input_schema: Box<RawValue>,
    #[schema(value_type = Object)]
    output_schema: Box<RawValue>,
}

async fn list_flows(State(mut client): State<Client>, UserContext(context): UserContext) -> Result<Json<FlowList>> {
    let answer = client.list_flows(context.request(ListFlowsRequest { meta: None })).await?.into_inner();
    let view = |flow: careeros_shared::proto::aicore::Flow| {
        Ok(FlowView {
            flow_name: flow.flow_name,
            flow_version: flow.flow_version,
            input_schema: RawValue::from_string(flow.input_schema_json).map_err(Error::internal)?,
            output_schema: RawValue::from_string(flow.output_schema_json).map_err(Error::internal)?,
        })
    };
    Ok(Json(FlowList { items: answer.items.into_iter().map(view).collect::<Result<_>>()? }))
}

async fn execute_flow(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<ExecuteFlow>,
) -> Result<Json<ExecuteFlowResponse>> {
    let request = ExecuteFlowRequest {
        meta: None,
        flow_name: body.flow_name,
        flow_version: body.flow_version.unwrap_or_default(),
        input_json: body.input.to_string(),
        user_id: body.user_id.unwrap_or_default(),
        tenant_id: body.tenant_id.unwrap_or_default(),
    };
    Ok(Json(client.execute_flow(context.request(request)).await?.into_inner()))
}

async fn chat(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<Chat>,
) -> Result<Json<ChatMentorResponse>> {
    Ok(Json(client.chat_mentor(context.request(body.into())).await?.into_inner()))
}

/// The answer as server-sent events: `delta` with `{"text"}` as often as needed, then `done` with what `/ai/chat`
/// answers, or `error` with what went wrong.
async fn stream_chat(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<Chat>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>> {
    let chunks = client.stream_chat_mentor(context.request(body.into())).await?.into_inner();
    let events = chunks.filter_map(async |chunk| event(chunk).transpose());
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn event(chunk: Result<ChatMentorChunk, Status>) -> Result<Option<Event>, axum::Error> {
    match chunk.map(|chunk| chunk.kind) {
        Ok(Some(Kind::Delta(text))) => Event::default().event("delta").json_data(json!({ "text": text })).map(Some),
        Ok(Some(Kind::Done(answer))) => Event::default().event("done").json_data(answer).map(Some),
        Ok(None) => Ok(None),
        Err(status) => {
            let error = Error::from(status);
            let data = json!({ "code": error.code(), "detail": error.message() });
            Event::default().event("error").json_data(data).map(Some)
        }
    }
}

async fn get_usage(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
) -> Result<Json<GetFlowUsageResponse>> {
    let request = GetFlowUsageRequest { meta: None, user_id };
    Ok(Json(client.get_flow_usage(context.request(request)).await?.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_field_may_be_null() {
        let body = r#"{"userId":null,"tenantId":null,"flowName":"resume_analysis","flowVersion":null,"input":{}}"#;
        assert_eq!(serde_json::from_str::<ExecuteFlow>(body).unwrap().user_id, None);
        let body = r#"{"userId":null,"tenantId":null,"mode":null,"messages":[]}"#;
        assert_eq!(serde_json::from_str::<Chat>(body).unwrap().mode, None);
    }
}
