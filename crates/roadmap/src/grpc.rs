//! The service's RPCs: each opens its context, finds whom it is about, and calls one function.

use careeros_shared::{
    batch::Batch,
    db::Db,
    directory::{Directory, Subject},
    grpc::open,
    id,
    page::Page,
    proto::{
        common::Ack,
        roadmap::{
            CompleteMilestoneRequest, CreateRoadmapDraftRequest, CreateRoadmapRequest, CreateRoadmapResponse,
            GetActiveRoadmapRequest, GetActiveRoadmapResponse, GetRoadmapRequest, GetRoadmapResponse,
            ListRoadmapDraftsRequest, ListRoadmapDraftsResponse, RecalculateTimelineRequest, RoadmapDraftResponse,
            RoadmapInterviewTurnRequest, RoadmapInterviewTurnResponse, UpdateRoadmapDraftCanvasRequest,
            roadmap_service_server::{RoadmapService, RoadmapServiceServer},
        },
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    drafts::{self, CanvasChange},
    interview::{self, Ai},
    milestones,
    roadmaps::{self, Active, Reach},
};

/// What the RPCs work with.
#[derive(Debug, Clone)]
pub struct App {
    db: Db,
    directory: Directory,
    ai: Ai,
    active: Batch<Subject, Option<Active>>,
}

impl App {
    /// RPCs on the database `roadmap`, with a directory that knows users' tenants and a client that runs AI flows.
    pub fn new(db: Db, directory: Directory, ai: Ai) -> Self {
        let active = Batch::new(&db, roadmaps::find_active);
        Self { db, directory, ai, active }
    }

    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(RoadmapServiceServer::new(self))
    }
}

const OK: Ack = Ack { ok: true, message: String::new() };

#[tonic::async_trait]
impl RoadmapService for App {
    async fn create_roadmap(
        &self,
        request: Request<CreateRoadmapRequest>,
    ) -> Result<Response<CreateRoadmapResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        Ok(Response::new(roadmaps::create(&self.db, &context, subject, &message).await?))
    }

    async fn get_active_roadmap(
        &self,
        request: Request<GetActiveRoadmapRequest>,
    ) -> Result<Response<GetActiveRoadmapResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(Active::response(self.active.submit(subject).await?.as_ref())))
    }

    async fn get_roadmap(&self, request: Request<GetRoadmapRequest>) -> Result<Response<GetRoadmapResponse>, Status> {
        let (context, message) = open(request)?;
        let roadmap_id = id::parse("roadmapId", &message.roadmap_id)?;
        let reach = Reach::of(&self.db, &context, roadmap_id).await?;
        Ok(Response::new(roadmaps::get(&self.db, reach, roadmap_id).await?))
    }

    async fn recalculate_timeline(
        &self,
        request: Request<RecalculateTimelineRequest>,
    ) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        let roadmap_id = id::parse("roadmapId", &message.roadmap_id)?;
        let reach = Reach::of(&self.db, &context, roadmap_id).await?;
        roadmaps::recalculate(&self.db, &context, reach, roadmap_id).await?;
        Ok(Response::new(OK))
    }

    async fn complete_milestone(&self, request: Request<CompleteMilestoneRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        let milestone_id = id::parse("milestoneId", &message.milestone_id)?;
        milestones::complete(&self.db, &context, subject, milestone_id).await?;
        Ok(Response::new(OK))
    }

    async fn interview_turn(
        &self,
        request: Request<RoadmapInterviewTurnRequest>,
    ) -> Result<Response<RoadmapInterviewTurnResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        Ok(Response::new(interview::turn(&self.db, &self.ai, &context, subject, &message).await?))
    }

    async fn create_draft(
        &self,
        request: Request<CreateRoadmapDraftRequest>,
    ) -> Result<Response<RoadmapDraftResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, &message.tenant_id).await?;
        Ok(Response::new(drafts::create(&self.db, &context, subject, &message).await?))
    }

    async fn update_draft_canvas(
        &self,
        request: Request<UpdateRoadmapDraftCanvasRequest>,
    ) -> Result<Response<RoadmapDraftResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        let change = CanvasChange::parse(message)?;
        Ok(Response::new(drafts::update_canvas(&self.db, &context, subject, &change).await?))
    }

    async fn list_drafts(
        &self,
        request: Request<ListRoadmapDraftsRequest>,
    ) -> Result<Response<ListRoadmapDraftsResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        let page = Page::parse(&message.cursor, message.limit)?;
        Ok(Response::new(drafts::list(&self.db, subject, page).await?))
    }
}
