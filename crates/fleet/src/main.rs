//! The launcher's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use careeros_auth::operators;
use careeros_fleet::broker_process::{self, Kind};
use careeros_fleet::{broker, deps, journey, settings, ui, up};
use careeros_shared::{clock::Clock, db::Db, env::Env};
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
    /// Starts PostgreSQL, the broker and all nine services, until Ctrl-C.
    Up(Data),
    /// Walks the main journey against the running fleet.
    Demo {
        /// A gateway elsewhere, such as that of compose, instead of the one started here; its
        /// webhook secret is then in `BILLING_WEBHOOK_SECRETS`.
        #[arg(long)]
        gateway: Option<String>,
        #[command(flatten)]
        data: Data,
    },
    /// Makes a registered user an OPERATOR of the running fleet.
    Operator {
        /// The user's e-mail address.
        email: String,
        #[command(flatten)]
        data: Data,
    },
    /// Runs the embedded broker alone, until Ctrl-C.
    Broker {
        #[command(flatten)]
        data: Data,
        /// Where it listens at 127.0.0.1.
        #[arg(long, env = "CAREEROS_BROKER_PORT", default_value_t = 9092, value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
    },
    /// Starts PostgreSQL and a broker on free ports, runs a command with `TEST_DATABASE_URL` and
    /// `TEST_KAFKA_BROKERS` set, stops them and exits with the command's status.
    Deps {
        /// Keep the data here instead of in a temporary directory.
        #[arg(long, env = "CAREEROS_DEPS_DATA")]
        data: Option<PathBuf>,
        /// Which broker.
        #[arg(long, env = broker_process::VARIABLE, value_enum, default_value_t)]
        broker: Kind,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, clap::Args)]
struct Data {
    /// Where the fleet keeps its data.
    #[arg(long, env = "CAREEROS_DATA", default_value = ".data")]
    data: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Two providers are in this process; the services use this one.
    drop(rustls::crypto::ring::default_provider().install_default());
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
        Subject::Up(Data { data }) => up::run(&data).await.map(|()| 0),
        Subject::Demo { gateway: Some(gateway), .. } => demo(&Env::from_process(), &gateway).await.map(|()| 0),
        Subject::Demo { data, .. } => {
            let settings = settings::read(&data.data)?;
            let gateway = settings.get("GATEWAY_URL").context("the settings name no gateway")?;
            demo(&settings, gateway).await.map(|()| 0)
        }
        Subject::Operator { email, data } => operator(&data.data, &email).await.map(|()| 0),
        Subject::Broker { data, port } => broker::serve(&data.data, port).await.map(|()| 0),
        Subject::Deps { data, broker, command } => deps::run(&command, broker, data.as_deref()).await,
    }
}

async fn demo(settings: &Env, gateway: &str) -> Result<()> {
    let secrets = settings.get("BILLING_WEBHOOK_SECRETS").unwrap_or_default();
    let secret = secrets.split(',').next().unwrap_or_default();
    journey::Client::new(gateway, secret.into(), |line| ui::print(line))?.walk().await?;
    ui::print("\nThe journey is complete.");
    Ok(())
}

async fn operator(data: &Path, email: &str) -> Result<()> {
    let settings = settings::read(data)?;
    let url = settings.get("AUTH_DATABASE_URL").context("the settings name no database")?;
    let db = Db::connect_lazy(&url.into(), 1, "careeros-fleet")?;
    operators::grant(&db, Clock::system().now(), email).await?;
    ui::print(format_args!("{email} is an OPERATOR; log in again to use it"));
    Ok(())
}
