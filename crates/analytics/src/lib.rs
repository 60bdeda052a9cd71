//! The analytics service: what the events of all services say about a tenant.
//!
//! One consumer group reads every topic and keeps five projections: the [`funnel`], users' [`activity`], [`ai_usage`], and
//! of [`subscriptions`] the events and the price list. The KPIs of any day follow from these by the function `kpi_on` of the
//! database: [`kpis`] asks it for today, [`daily`] keeps its answers in `kpi_daily` for reports.
//!
//! Every projection is a function of the set of events; `careeros-ops rebuild` makes all of them anew.

pub mod activity;
pub mod ai_usage;
pub mod daily;
pub mod events;
pub mod funnel;
pub mod grpc;
pub mod kpis;
pub mod platform;
pub mod subscriptions;

use std::{ffi::OsString, process::ExitCode};

use careeros_shared::{
    boot::{self, Boot, Runtime},
    config::{self, Service, Stores},
    consumer::Consumer,
};
use sqlx::migrate::Migrator;

use crate::events::Projections;

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "analytics-service", http_port: 8088, grpc_port: 6008 };

/// The tables of the database `analytics`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/analytics");

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
    runtime.consume(
        &db,
        &kafka,
        Consumer { group: events::GROUP, topics: events::PROJECTION.topics, handler: Projections },
    );
    runtime.spawn(daily::keep(db.clone(), runtime.clock.clone()));
    runtime.spawn(platform::watch(db.clone()));
    let app = grpc::App { db };
    runtime.serve(app.routes(), careeros_rest::analytics::routes).await
}
