//! The edu-tracker service: how learning goes, told from the events of the other services.
//!
//! Everything here is a projection: a function of the set of events, whatever the order and number of their deliveries.

pub mod activity;
pub mod catalogue;
pub mod days;
pub mod events;
pub mod evidence;
pub mod grpc;
pub mod learners;
pub mod mastery;
pub mod productivity;
pub mod progress;

use std::{ffi::OsString, process::ExitCode};

use careeros_shared::{
    boot::{self, Boot, Runtime},
    config::{self, Service, Stores},
    consumer::Consumer,
};
use sqlx::migrate::Migrator;

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "edu-tracker-service", http_port: 8086, grpc_port: 6006 };

/// The tables of the database `edu_tracker`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/edu_tracker");

/// The service as a process; `arguments` are those of its command line, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    boot::main(arguments, &SERVICE, Some(&MIGRATIONS), run)
}

/// Runs the service until its shutdown.
///
/// # Errors
/// Where the environment is wrong or a port cannot be listened on.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    let (common, stores) = config::load(&SERVICE, &boot.env, Stores::read).await?;
    let mut runtime = Runtime::new(&SERVICE, common, boot)?;
    let (db, kafka) = runtime.stores(&stores, &MIGRATIONS)?;
    let handler = events::Tracker { clock: runtime.clock.clone() };
    runtime.consume(&db, &kafka, Consumer { group: events::GROUP, topics: events::PROJECTION.topics, handler });
    let app = grpc::App { db, directory: runtime.directory.clone() };
    runtime.serve(app.routes(), careeros_rest::edu_tracker::routes).await
}
