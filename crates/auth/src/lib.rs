//! The auth service: accounts, logins, tokens, sessions, roles.

pub mod command;
pub mod config;
pub mod emails;
pub mod grpc;
pub mod invitations;
pub mod keys;
pub mod logins;
pub mod operators;
pub mod passwords;
pub mod refreshes;
pub mod registrations;
pub mod roles;
pub mod sealed;
pub mod secrets;
pub mod sessions;
pub mod throttle;
pub mod tokens;
pub mod users;

pub use command::main;

use std::{num::NonZeroUsize, time::Duration};

use careeros_shared::{
    Result,
    boot::{Boot, Runtime},
    clock::Clock,
    config::{self as settings, Service},
    identity::Verifier,
};
use sqlx::migrate::Migrator;

use crate::{config::Config, grpc::App, keys::Keys, passwords::Passwords, secrets::Secrets, tokens::Issuer};

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "auth-service", http_port: 8081, grpc_port: 6001 };

/// The tables of the database `auth`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/auth");

/// How often what has expired is deleted.
const SWEEP: Duration = Duration::from_mins(10);

/// Runs the service until its shutdown.
///
/// # Errors
/// Where the environment is wrong or a port cannot be listened on.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    let (common, config) = settings::load(&SERVICE, &boot.env, Config::read).await?;
    let mut runtime = Runtime::new(&SERVICE, common, boot)?;
    let (db, _kafka) = runtime.stores(&config.stores, &MIGRATIONS)?;
    // The service's own tokens are verified with its own keys, not by asking itself.
    runtime.verifier = Verifier::local();
    let secrets = Secrets::new(&runtime.common.service_secret);
    let keys = Keys::new(db.clone(), &secrets, runtime.verifier.clone(), config.lifetimes.access);
    let passwords = Passwords::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get));
    let app = App { db, passwords, issuer: Issuer { keys: keys.clone(), secrets, lifetimes: config.lifetimes } };
    let (checked, clock) = (keys.clone(), runtime.clock.clone());
    runtime.readiness = std::mem::take(&mut runtime.readiness).with("signing-keys", move || {
        let (keys, now) = (checked.clone(), clock.now());
        async move { keys.signer(now).await.map(|_| ()).map_err(|error| error.message().to_owned()) }
    });
    runtime.spawn(keys.follow(runtime.clock.clone()));
    runtime.spawn(sweep(app.clone(), runtime.clock.clone()));
    runtime
        .serve(app.routes(), |transport| {
            careeros_rest::auth::routes(transport.clone()).merge(careeros_rest::auth::well_known(transport))
        })
        .await
}

/// Deletes what has expired, now and then.
async fn sweep(app: App, clock: Clock) {
    loop {
        tokio::time::sleep(SWEEP).await;
        if let Err(error) = sweep_once(&app, &clock).await {
            tracing::debug!(error = %error, "what has expired stays until the next sweep");
        }
    }
}

async fn sweep_once(app: &App, clock: &Clock) -> Result<()> {
    let now = clock.now();
    throttle::sweep(&app.db, now).await?;
    sessions::sweep(&app.db, app.issuer.lifetimes.refresh, now).await?;
    app.issuer.keys.sweep(now).await
}
