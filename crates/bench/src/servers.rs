//! Servers to compare with, each run as a process of its own by this program.

pub(crate) mod model;

use std::{net::Ipv4Addr, process::Stdio};

use anyhow::{Context as _, Result};
use axum::{Json, Router, routing::get, serve::ListenerExt as _};
use careeros_fleet::ui;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, ChildStdin, Command},
};

/// Which server it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    kind: Kind,
}

/// What a server answers.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Kind {
    /// `GET /` with a constant: the most that this machine can do with axum.
    Bare,
    /// An OpenAI-compatible model with a fixed delay.
    Model,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Model => "model",
        }
    }

    fn router(self) -> Router {
        match self {
            Self::Bare => Router::new().route("/", get(async || Json(json!({"status": "ok"})))),
            Self::Model => model::router(),
        }
    }
}

/// Serves until the process that has started this one closes standard input, as it does by ending.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ui::print(listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        served = axum::serve(listener, arguments.kind.router()) => served?,
        read = ended => drop(read??),
    }
    Ok(())
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it answers, without a slash at the end.
    pub(crate) url: String,
    child: Child,
    // Held because closing it ends the server.
    _stdin: Option<ChildStdin>,
}

impl Server {
    /// Starts a server and returns when it listens.
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", kind.name()]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot run a server to compare with")?;
        let stdout = child.stdout.take().context("the server has no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let port: u16 = line.trim().parse().context("the server does not say its port")?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), _stdin: child.stdin.take(), child })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}
