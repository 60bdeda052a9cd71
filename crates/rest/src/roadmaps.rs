//! `/roadmaps`: roadmaps with their milestones, drafts of roadmaps, and the interview that leads to one.

use axum::{Json, Router, extract::State};
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
use utoipa::ToSchema;

use crate::{
    Done,
    api::{Api, Area, schemas},
    page::Page,
};

mod docs;

type Client = RoadmapServiceClient<Transport>;

/// The routes as the gateway has them, with their documentation, answered by the roadmap service behind `transport`.
pub fn api(transport: Transport) -> Api {
    common(transport).get("/roadmaps/drafts/{user_id}", page_drafts, docs::page_drafts()).build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

/// The routes as the service's own port has them: there, a list of drafts is a bare array.
pub fn service_routes(transport: Transport) -> Router {
    common(transport).get("/roadmaps/drafts/{user_id}", list_drafts, docs::list_drafts()).build().into_router()
}

fn common(transport: Transport) -> Area<Client> {
    Area::new("Roadmaps", docs::ABOUT, Client::new(transport))
        .post("/roadmaps", create_roadmap, docs::create_roadmap())
        .get("/roadmaps/active/{user_id}", get_active_roadmap, docs::get_active_roadmap())
        .get("/roadmaps/{roadmap_id}", get_roadmap, docs::get_roadmap())
        .patch("/roadmaps/{roadmap_id}/recalculate", recalculate, docs::recalculate())
        .patch("/roadmaps/milestones/complete", complete_milestone, docs::complete_milestone())
        .post("/roadmaps/interview/turn", take_turn, docs::take_turn())
        .post("/roadmaps/drafts", create_draft, docs::create_draft())
        .patch("/roadmaps/drafts/{draft_id}/canvas", update_canvas, docs::update_canvas())
}

/// A goal and how to get there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRoadmap {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    goal_key: String,
    #[schema(min_length = 1, max_length = 255)]
    target_role: String,
    /// 12 where it is not sent.
    #[schema(minimum = 1, maximum = 520)]
    timeline_weeks: Option<i32>,
    /// `Foundation`, `Core Skills`, `Projects` and `Interview Prep` where they are not sent; no more than days.
    #[schema(schema_with = schemas::texts::<20, 255>, required = false)]
    stage_titles: Option<Vec<String>>,
}

/// Which milestone is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the contract names the fields")]
pub struct CompleteMilestone {
    #[schema(format = "uuid")]
    milestone_id: String,
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
}

/// The next answers of an interview.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterviewTurn {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    /// Begins a new interview where it is not sent.
    #[schema(format = "uuid")]
    draft_id: Option<String>,
    /// Up to 50 in the whole interview.
    #[schema(max_items = 50)]
    messages: Vec<InterviewMessage>,
}

/// A question with its answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterviewMessage {
    #[schema(min_length = 1, max_length = 500)]
    question: String,
    #[schema(max_length = 4_000)]
    answer: String,
}

/// A draft. The service checks what its three JSON parts hold and keeps them as they were sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateDraft {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    /// `Roadmap draft` where it is not sent.
    #[schema(max_length = 255)]
    title: Option<String>,
    #[schema(max_length = 255)]
    target_role: Option<String>,
    #[schema(max_length = 255)]
    target_grade: Option<String>,
    #[schema(value_type = Option<Vec<InterviewMessage>>, max_items = 50)]
    interview_log: Option<Box<RawValue>>,
    #[schema(value_type = Option<Vec<CanvasNode>>, max_items = 500)]
    roadmap_nodes: Option<Box<RawValue>>,
    #[schema(value_type = Option<CanvasViewport>)]
    canvas_viewport: Option<Box<RawValue>>,
}

/// What is seen of a canvas, and perhaps what is on it; nodes not sent stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateCanvas {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(value_type = CanvasViewport)]
    canvas_viewport: Box<RawValue>,
    #[schema(value_type = Option<Vec<CanvasNode>>, max_items = 500)]
    roadmap_nodes: Option<Box<RawValue>>,
}

/// Something on a canvas.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the service reads it; this is what the reference says of it")]
struct CanvasNode {
    /// Once each.
    #[schema(min_length = 1, max_length = 64)]
    id: String,
    #[schema(min_length = 1, max_length = 255)]
    label: String,
    #[schema(minimum = 0, maximum = 100)]
    progress: f64,
    #[schema(minimum = -1_000_000, maximum = 1_000_000)]
    x: f64,
    #[schema(minimum = -1_000_000, maximum = 1_000_000)]
    y: f64,
}

/// What is seen of a canvas.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the service reads it; this is what the reference says of it")]
struct CanvasViewport {
    #[schema(minimum = -1_000_000, maximum = 1_000_000)]
    x: f64,
    #[schema(minimum = -1_000_000, maximum = 1_000_000)]
    y: f64,
    #[schema(minimum = 0.01, maximum = 100)]
    scale: f64,
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
    let (cursor, limit) = page.into_parts();
    let request = ListRoadmapDraftsRequest { meta: None, user_id, cursor, limit };
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
