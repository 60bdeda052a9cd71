//! The learning management service: courses and who makes them, who takes them, and what they have completed.

pub mod access;
pub mod catalogue;
pub mod certificates;
pub mod completions;
pub mod courses;
pub mod enrollments;
pub mod grpc;
pub mod instructors;
pub mod lessons;
pub mod modules;
pub mod publication;

use std::{ffi::OsString, process::ExitCode};

use careeros_shared::{
    boot::{self, Boot, Runtime},
    config::{self, Service, Stores},
};
use sqlx::migrate::Migrator;

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "lms-service", http_port: 8085, grpc_port: 6005 };

/// The tables of the database `lms`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/lms");

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
    let (db, _kafka) = runtime.stores(&stores, &MIGRATIONS)?;
    let app = grpc::App::new(db, runtime.directory.clone());
    runtime.serve(app.routes(), careeros_rest::lms::routes).await
}
