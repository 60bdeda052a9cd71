//! What these tests share: data directories, and servers on free ports.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use careeros_fleet::data::DataDir;
use careeros_fleet::net::Port;
use careeros_fleet::postgres::{Options, Postgres};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

/// A directory that PostgreSQL's user can pass through.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap()
}

pub(crate) fn open(directory: &TempDir) -> DataDir {
    DataDir::open(directory.path()).unwrap()
}

/// PostgreSQL on a free port, fast rather than durable.
pub(crate) async fn postgres(data: &DataDir) -> Postgres {
    start(data, false).await
}

/// PostgreSQL on a free port whose commits survive a kill.
pub(crate) async fn durable_postgres(data: &DataDir) -> Postgres {
    start(data, true).await
}

async fn start(data: &DataDir, durable: bool) -> Postgres {
    Postgres::start(data, Options { port: Port::Any, durable, max_connections: 20 }).await.unwrap()
}

pub(crate) async fn connect(url: &SecretString) -> sqlx::Result<PgConnection> {
    PgConnection::connect(url.expose_secret()).await
}

/// The process id in a `postmaster.pid`.
pub(crate) fn postmaster(cluster: &Path) -> rustix::process::Pid {
    let content = std::fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    rustix::process::Pid::from_raw(content.lines().next().unwrap().parse().unwrap()).unwrap()
}
