//! The subscription billing service: plans, who has subscribed to which, what that entitles them to, and how much of it
//! they have used.

pub mod activation;
pub mod config;
pub mod entitlement;
pub mod grpc;
pub mod invoices;
pub mod lifecycle;
pub mod plans;
pub mod subscriptions;
pub mod usage;
pub mod webhooks;

use std::{ffi::OsString, process::ExitCode, time::Duration};

use careeros_shared::{
    Result,
    boot::{self, Boot, Runtime},
    clock::Clock,
    config::Service,
    consumer::Consumer,
    db::Db,
};
use sqlx::migrate::Migrator;

use crate::{config::Config, usage::Usage};

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "subscription-billing-service", http_port: 8087, grpc_port: 6007 };

/// The tables of the database `billing`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/billing");

/// How often ended subscriptions are looked for.
const UPKEEP_INTERVAL: Duration = Duration::from_mins(1);
/// When upkeep that failed, say because the database is not there yet, is tried again.
const UPKEEP_RETRY: Duration = Duration::from_secs(1);

/// The service as a process; `arguments` are those of its command line, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    boot::main(arguments, &SERVICE, Some(&MIGRATIONS), run)
}

/// Runs the service until its shutdown.
///
/// # Errors
/// Where the environment is wrong or a port cannot be listened on.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    let (common, config) = careeros_shared::config::load(&SERVICE, &boot.env, Config::read).await?;
    let mut runtime = Runtime::new(&SERVICE, common, boot)?;
    let (db, kafka) = runtime.stores(&config.stores, &MIGRATIONS)?;
    runtime.consume(&db, &kafka, Consumer { group: usage::GROUP, topics: usage::PROJECTION.topics, handler: Usage });
    runtime.spawn(keep_up(db.clone(), runtime.clock.clone()));
    let app = grpc::App { db, directory: runtime.directory.clone(), webhook_secrets: config.webhook_secrets.into() };
    runtime.serve(app.routes(), careeros_rest::billing::routes).await
}

async fn keep_up(db: Db, clock: Clock) {
    loop {
        match upkeep(&db, &clock).await {
            Ok(()) => tokio::time::sleep(UPKEEP_INTERVAL).await,
            Err(error) => {
                tracing::debug!(error = %error, "upkeep is tried again");
                tokio::time::sleep(UPKEEP_RETRY).await;
            }
        }
    }
}

/// What has to happen without a request: seeded plans are announced, subscriptions end, old records of what was already
/// seen go. Several at once are harmless.
///
/// # Errors
/// 503 where the database is away.
pub async fn upkeep(db: &Db, clock: &Clock) -> Result<()> {
    plans::announce(db, clock.now()).await?;
    subscriptions::end_due(db, clock.now()).await?;
    usage::sweep(db, clock.now()).await?;
    webhooks::sweep(db, clock.now()).await
}
