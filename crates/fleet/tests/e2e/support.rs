//! What these tests share: fleets on free ports with data of their own, one at a time.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, sync::Once};

use careeros_fleet::{
    data::DataDir,
    journey::Client,
    net::Port,
    stores::Options,
    up::{Fleet, Ports},
};
use careeros_shared::env::Env;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Nine services, a database server and a broker are enough for a machine at a time.
static MACHINE: Mutex<()> = Mutex::const_new(());

/// Waits for the machine to be this test's alone.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static PROVIDER: Once = Once::new();
    // Two TLS providers are in this process; the services use this one.
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    MACHINE.lock().await
}

/// A directory that PostgreSQL's user can pass through.
pub(crate) fn directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("careeros-e2e-").permissions(Permissions::from_mode(0o711));
    builder.tempdir().unwrap()
}

/// The nine services in this process, on free ports, with the data in `directory`.
pub(crate) async fn start(directory: &TempDir, variables: &[(&str, &str)]) -> Fleet {
    let mut env = Env::default();
    env.set("LOG_LEVEL", "warn");
    for (name, value) in variables {
        env.set(name, *value);
    }
    let data = DataDir::open(directory.path()).unwrap();
    let options = Options { postgres: Port::Any, broker: Port::Any, durable: false };
    Fleet::start(env, &data, options, Ports::Any).await.unwrap()
}

/// A client of `fleet` that says nothing.
pub(crate) fn client(fleet: &Fleet) -> Client {
    let secret = fleet.env.get("BILLING_WEBHOOK_SECRETS").unwrap();
    Client::new(&fleet.gateway, secret.into(), |_| ()).unwrap()
}
