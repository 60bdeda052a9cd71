//! The API gateway: the whole REST surface under `/v1` for web and mobile clients.
//!
//! It owns no data. It checks tokens, limits rates and sizes, and hands each request to the service that answers it.

pub mod config;
pub mod http;
pub mod peers;
pub mod reference;
pub mod throttle;

use std::{ffi::OsString, process::ExitCode};

use careeros_shared::{
    boot::{self, Boot, Runtime},
    config::{self as settings, Service},
};

use crate::{config::Config, peers::Peers, throttle::Throttle};

/// What the service is called and where it listens; it serves no RPCs.
pub const SERVICE: Service = Service { name: "api-gateway", http_port: 8080, grpc_port: 0 };

/// The service as a process; `arguments` are those of its command line, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    boot::main(arguments, &SERVICE, None, run)
}

/// Runs the gateway until its shutdown.
///
/// # Errors
/// Where the environment is wrong or the port cannot be listened on.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    let (common, config) = settings::load(&SERVICE, &boot.env, Config::read).await?;
    let mut runtime = Runtime::new(&SERVICE, common, boot)?;
    let peers = Peers::connect(&runtime, &config.peers)?;
    runtime.readiness = peers.readiness(std::mem::take(&mut runtime.readiness));
    let throttle = Throttle::new(&config, runtime.clock.clone())?;
    runtime.spawn(throttle.clone().keep());
    let router = http::router(&peers, throttle, config.cors);
    runtime.serve_http(router).await
}
