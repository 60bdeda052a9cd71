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

use std::{ffi::OsString, process::ExitCode};

use careeros_shared::{
    boot::{self, Boot, Runtime},
    config::{self as settings, Service},
    consumer::Consumer,
    proto::aicore::ai_core_service_client::AiCoreServiceClient,
};
use sqlx::migrate::Migrator;

use crate::{ai_updates::AiUpdates, config::Config};

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "roadmap-service", http_port: 8084, grpc_port: 6004 };

/// The tables of the database `roadmap`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/roadmap");

/// The service as a process; `arguments` are those of its command line, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    boot::main(arguments, &SERVICE, Some(&MIGRATIONS), run)
}

/// Runs the service until its shutdown.
///
/// # Errors
/// Where the environment is wrong or a port cannot be listened on.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    let (common, config) = settings::load(&SERVICE, &boot.env, Config::read).await?;
    let mut runtime = Runtime::new(&SERVICE, common, boot)?;
    let (db, kafka) = runtime.stores(&config.stores, &MIGRATIONS)?;
    let ai = AiCoreServiceClient::new(runtime.connect(&config.ai_core_grpc_url, config::AI_DEADLINE)?);
    let consumer = Consumer { group: ai_updates::GROUP, topics: ai_updates::PROJECTION.topics, handler: AiUpdates };
    runtime.consume(&db, &kafka, consumer);
    let app = grpc::App::new(db, runtime.directory.clone(), ai);
    runtime.serve(app.routes(), careeros_rest::roadmaps::service_routes).await
}
