//! `/roadmaps`: roadmaps with their milestones, drafts of roadmaps, and the interview that leads to one.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, patch, post},
};
use careeros_shared::{
    Result,
    extract::{self, Path, Query, UserContext},
    grpc::Transport,
    http::Created,
    proto::roadmap::{
        CompleteMilestoneRequest, CreateRoadmapDraftRequest, CreateRoadmapRequest, CreateRoadmapResponse,
        GetActiveRoadmapRequest, GetActiveRoadmapResponse, GetRoadmapRequest, GetRoadmapResponse,
        ListRoadmapDraftsRequest, ListRoadmapDraftsResponse, RecalculateTimelineRequest, RoadmapDraftResponse,
        RoadmapInterviewMessage, RoadmapInterviewTurnRequest, RoadmapInterviewTurnResponse,
        UpdateRoadmapDraftCanvasRequest, roadmap_service_client::RoadmapServiceClient,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Done;

type Client = RoadmapServiceClient<Transport>;

/// The routes as the gateway has them, answered by the roadmap service behind `transport`.
pub fn routes(transport: Transport) -> Router {
    let client = Client::new(transport);
    common(client.clone()).merge(Router::new().route("/roadmaps/drafts/{user_id}", get(page_drafts)).with_state(client))
}

/// The routes as the service's own port has them: there, a list of drafts is a bare array.
pub fn service_routes(transport: Transport) -> Router {
    let client = Client::new(transport);
    common(client.clone()).merge(Router::new().route("/roadmaps/drafts/{user_id}", get(list_drafts)).with_state(client))
}

fn common(client: Client) -> Router {
    Router::new()
        .route("/roadmaps", post(create_roadmap))
        .route("/roadmaps/{roadmap_id}", get(get_roadmap))
        .route("/roadmaps/active/{user_id}", get(get_active_roadmap))
        .route("/roadmaps/{roadmap_id}/recalculate", patch(recalculate))
        .route("/roadmaps/milestones/complete", patch(complete_milestone))
        .route("/roadmaps/interview/turn", post(take_turn))
        .route("/roadmaps/drafts", post(create_draft))
        .route("/roadmaps/drafts/{draft_id}/canvas", patch(update_canvas))
        .with_state(client)
}

/// A goal and how to get there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRoadmap {
    user_id: Option<String>,
    tenant_id: Option<String>,
    goal_key: String,
    target_role: String,
    timeline_weeks: Option<i32>,
    stage_titles: Option<Vec<String>>,
}

/// Which milestone is done.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the contract names the fields")]
pub struct CompleteMilestone {
    milestone_id: String,
    user_id: Option<String>,
    tenant_id: Option<String>,
}

/// The next answers of an interview.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterviewTurn {
    user_id: Option<String>,
    tenant_id: Option<String>,
    draft_id: Option<String>,
    messages: Vec<InterviewMessage>,
}

/// A question with its answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterviewMessage {
    question: String,
    answer: String,
}

/// A draft. The service checks what its three JSON parts hold and keeps them as they were sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateDraft {
    user_id: Option<String>,
    tenant_id: Option<String>,
    title: Option<String>,
    target_role: Option<String>,
    target_grade: Option<String>,
    interview_log: Option<Box<RawValue>>,
    roadmap_nodes: Option<Box<RawValue>>,
    canvas_viewport: Option<Box<RawValue>>,
}

/// What is seen of a canvas, and perhaps what is on it; nodes not sent stay.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateCanvas {
    user_id: Option<String>,
    canvas_viewport: Box<RawValue>,
    roadmap_nodes: Option<Box<RawValue>>,
}

/// Which part of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Page {
    #[serde(default)]
    cursor: String,
    #[serde(default)]
    limit: i32,
}

async fn create_roadmap(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<CreateRoadmap>,
) -> Result<Created<CreateRoadmapResponse>> {
    let request = CreateRoadmapRequest {
        meta: None,
        user_id: body.user_id.unwrap_or_default(),
        tenant_id: body.tenant_id.unwrap_or_default(),
        goal_key: body.goal_key,
        target_role: body.target_role,
        timeline_weeks: body.timeline_weeks,
        stage_titles: body.stage_titles.unwrap_or_default(),
    };
    Ok(Created(client.create_roadmap(context.request(request)).await?.into_inner()))
}

async fn get_active_roadmap(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
) -> Result<Json<GetActiveRoadmapResponse>> {
    let request = GetActiveRoadmapRequest { meta: None, user_id };
    Ok(Json(client.get_active_roadmap(context.request(request)).await?.into_inner()))
}

async fn get_roadmap(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(roadmap_id): Path<String>,
) -> Result<Json<GetRoadmapResponse>> {
    let request = GetRoadmapRequest { meta: None, roadmap_id };
    Ok(Json(client.get_roadmap(context.request(request)).await?.into_inner()))
}

/// Takes no body; one that is sent is not read.
async fn recalculate(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(roadmap_id): Path<String>,
) -> Result<Json<Done>> {
    let request = RecalculateTimelineRequest { meta: None, roadmap_id };
    Ok(Json(client.recalculate_timeline(context.request(request)).await?.into_inner().into()))
}

async fn complete_milestone(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<CompleteMilestone>,
) -> Result<Json<Done>> {
    let request = CompleteMilestoneRequest {
        meta: None,
        milestone_id: body.milestone_id,
        user_id: body.user_id.unwrap_or_default(),
        tenant_id: body.tenant_id.unwrap_or_default(),
    };
    Ok(Json(client.complete_milestone(context.request(request)).await?.into_inner().into()))
}

async fn take_turn(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<InterviewTurn>,
) -> Result<Json<RoadmapInterviewTurnResponse>> {
    let message = |each: InterviewMessage| RoadmapInterviewMessage { question: each.question, answer: each.answer };
    let request = RoadmapInterviewTurnRequest {
        meta: None,
        user_id: body.user_id.unwrap_or_default(),
        tenant_id: body.tenant_id.unwrap_or_default(),
        draft_id: body.draft_id.unwrap_or_default(),
        messages: body.messages.into_iter().map(message).collect(),
    };
    Ok(Json(client.interview_turn(context.request(request)).await?.into_inner()))
}

async fn create_draft(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<CreateDraft>,
) -> Result<Created<RoadmapDraftResponse>> {
    let request = CreateRoadmapDraftRequest {
        meta: None,
        user_id: body.user_id.unwrap_or_default(),
        tenant_id: body.tenant_id.unwrap_or_default(),
        title: body.title.unwrap_or_default(),
        target_role: body.target_role.unwrap_or_default(),
        target_grade: body.target_grade.unwrap_or_default(),
        interview_log_json: text(body.interview_log),
        roadmap_nodes_json: text(body.roadmap_nodes),
        canvas_viewport_json: text(body.canvas_viewport),
    };
    Ok(Created(client.create_draft(context.request(request)).await?.into_inner()))
}

async fn update_canvas(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(draft_id): Path<String>,
    extract::Json(body): extract::Json<UpdateCanvas>,
) -> Result<Json<RoadmapDraftResponse>> {
    let request = UpdateRoadmapDraftCanvasRequest {
        meta: None,
        draft_id,
        user_id: body.user_id.unwrap_or_default(),
        canvas_viewport_json: text(Some(body.canvas_viewport)),
        roadmap_nodes_json: text(body.roadmap_nodes),
    };
    Ok(Json(client.update_draft_canvas(context.request(request)).await?.into_inner()))
}

async fn page_drafts(
    State(client): State<Client>,
    context: UserContext,
    user_id: Path<String>,
    page: Query<Page>,
) -> Result<Json<ListRoadmapDraftsResponse>> {
    Ok(Json(drafts(client, context, user_id, page).await?))
}

async fn list_drafts(
    State(client): State<Client>,
    context: UserContext,
    user_id: Path<String>,
    page: Query<Page>,
) -> Result<Json<Vec<RoadmapDraftResponse>>> {
    Ok(Json(drafts(client, context, user_id, page).await?.items))
}

async fn drafts(
    mut client: Client,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
    Query(page): Query<Page>,
) -> Result<ListRoadmapDraftsResponse> {
    let request = ListRoadmapDraftsRequest { meta: None, user_id, cursor: page.cursor, limit: page.limit };
    Ok(client.list_drafts(context.request(request)).await?.into_inner())
}

/// JSON as it was sent, empty where none was.
fn text(json: Option<Box<RawValue>>) -> String {
    json.map(|json| json.get().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_field_may_be_null() {
        let body = r#"{"userId":null,"tenantId":null,"goalKey":"backend","targetRole":"Backend Engineer",
                       "timelineWeeks":null,"stageTitles":null}"#;
        assert_eq!(serde_json::from_str::<CreateRoadmap>(body).unwrap().user_id, None);
        let body = r#"{"milestoneId":"m","userId":null,"tenantId":null}"#;
        assert_eq!(serde_json::from_str::<CompleteMilestone>(body).unwrap().tenant_id, None);
        let body = r#"{"userId":null,"tenantId":null,"draftId":null,"messages":[]}"#;
        assert_eq!(serde_json::from_str::<InterviewTurn>(body).unwrap().draft_id, None);
        let body = r#"{"userId":null,"tenantId":null,"title":null,"interviewLog":null,"canvasViewport":null}"#;
        assert!(serde_json::from_str::<CreateDraft>(body).unwrap().interview_log.is_none());
        let body = r#"{"userId":null,"canvasViewport":{},"roadmapNodes":null}"#;
        assert!(serde_json::from_str::<UpdateCanvas>(body).unwrap().roadmap_nodes.is_none());
    }
}
