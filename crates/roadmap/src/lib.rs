//! The roadmap service: goals, the roadmaps to them with their stages and milestones, and drafts of roadmaps.

pub mod ai_updates;
mod canvas;
pub mod config;
pub mod drafts;
pub mod grpc;
pub mod interview;
pub mod milestones;
pub mod roadmaps;
pub mod skill_gaps;
mod timeline;

use careeros_shared::{
    boot::{Boot, Runtime},
    config::{self as settings, Service},
    consumer::Consumer,
    events::{Event, RoadmapDraftGenerated, SkillGapAnalyzed},
    proto::aicore::ai_core_service_client::AiCoreServiceClient,
};
use sqlx::migrate::Migrator;

use crate::{ai_updates::AiUpdates, config::Config};

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "roadmap-service", http_port: 8084, grpc_port: 6004 };

/// The tables of the database `roadmap`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/roadmap");

/// Runs the service until its shutdown.
///
/// # Errors
/// Where the environment is wrong or a port cannot be listened on.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    let (common, config) = settings::load(&SERVICE, &boot.env, Config::read)?;
    let mut runtime = Runtime::new(&SERVICE, common, boot)?;
    let (db, kafka) = runtime.stores(&config.stores, &MIGRATIONS)?;
    let ai = AiCoreServiceClient::new(runtime.connect(&config.ai_core_grpc_url, config::AI_DEADLINE)?);
    let consumer = Consumer {
        group: ai_updates::GROUP,
        topics: &[RoadmapDraftGenerated::TOPIC, SkillGapAnalyzed::TOPIC],
        handler: AiUpdates,
    };
    runtime.consume(&db, &kafka, consumer);
    let app = grpc::App { db, directory: runtime.directory.clone(), ai };
    runtime.serve(app.routes(), careeros_rest::roadmaps::service_routes).await
}
