//! The launcher's command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use careeros_fleet::{deps, ui};
use clap::{Parser, Subcommand};

/// Runs CareerOS on this machine.
#[derive(Debug, Parser)]
#[command(name = "careeros-fleet", version)]
struct Arguments {
    #[command(subcommand)]
    command: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Starts PostgreSQL and the broker on free ports, runs a command with `TEST_DATABASE_URL` and
    /// `TEST_KAFKA_BROKERS` set, stops them and exits with the command's status.
    Deps {
        /// Keep the data here instead of in a temporary directory.
        #[arg(long, env = "CAREEROS_DEPS_DATA")]
        data: Option<PathBuf>,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            ui::fail(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<u8> {
    match arguments.command {
        Subject::Deps { data, command } => deps::run(&command, data.as_deref()).await,
    }
}
