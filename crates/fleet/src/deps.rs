//! `careeros-fleet deps -- <command>`: PostgreSQL and a broker on free ports around one command, which
//! finds them in `TEST_DATABASE_URL` (superuser) and `TEST_KAFKA_BROKERS`; Apache Kafka's second listener, which wants TLS and
//! a password, in `TEST_KAFKA_SECURED_*`.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use tokio::process::{Child, Command};

use crate::apache::{self, Secured};
use crate::broker::Broker;
use crate::broker_process::{self, BrokerProcess, Kind};
use crate::data::DataDir;
use crate::net::Port;
use crate::postgres::{self, Postgres};
use crate::signals::{Request, Signals};

/// Tests of many crates at once, each with pools of its own.
const MAX_CONNECTIONS: u16 = 400;

/// Starts PostgreSQL and a broker of `kind`, runs `command`, stops them, and returns the exit status for this process: the
/// command's own, or 128 plus the number of the signal that ended it.
///
/// Without `data`, a temporary directory is used and removed afterwards.
///
/// # Errors
/// When PostgreSQL, the broker or the command cannot be started.
pub async fn run(command: &[OsString], kind: Kind, data: Option<&Path>) -> Result<u8> {
    let Some(directory) = data else {
        // PostgreSQL's user must be able to pass through it.
        let permissions = Permissions::from_mode(0o711);
        let temporary = tempfile::Builder::new().prefix("careeros-").permissions(permissions).tempdir()?;
        return run_in(temporary.path(), kind, command).await;
    };
    run_in(directory, kind, command).await
}

async fn run_in(directory: &Path, kind: Kind, command: &[OsString]) -> Result<u8> {
    let Some((program, arguments)) = command.split_first() else { bail!("deps needs a command: deps -- <command>") };
    let mut signals = Signals::catch()?;
    let data = DataDir::open(directory)?;
    let options = postgres::Options { port: Port::Any, durable: false, max_connections: MAX_CONNECTIONS };
    let (postgres, broker) = tokio::select! {
        started = async { tokio::try_join!(Postgres::start(&data, options), Running::start(kind, &data)) } => started?,
        request = signals.next() => return Ok(128 + request.number()),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("TEST_DATABASE_URL", postgres.superuser_url("postgres").expose_secret())
        .env("TEST_KAFKA_BROKERS", broker.bootstrap_servers())
        // Tests that start a broker of their own start one of the same kind.
        .env(broker_process::VARIABLE, kind.name());
    if let Some(secured) = broker.secured() {
        command
            .env("TEST_KAFKA_SECURED_BROKERS", secured.bootstrap_servers())
            .env("TEST_KAFKA_SECURED_CA", secured.authority())
            .env("TEST_KAFKA_SECURED_MECHANISM", apache::MECHANISM)
            .env("TEST_KAFKA_SECURED_USERNAME", apache::USERNAME)
            .env("TEST_KAFKA_SECURED_PASSWORD", apache::PASSWORD);
    }
    let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let status = wait(child, &mut signals).await;
    let (stopped_broker, stopped_postgres) = tokio::join!(broker.stop(), postgres.stop());
    stopped_broker?;
    stopped_postgres?;
    Ok(exit_code(status?))
}

/// The broker: the embedded one needs no process of its own here.
enum Running {
    Embedded(Broker),
    Apache(Box<BrokerProcess>),
}

impl Running {
    async fn start(kind: Kind, data: &DataDir) -> Result<Self> {
        match kind {
            Kind::Embedded => Broker::start(data, Port::Any).await.map(Self::Embedded),
            Kind::Apache => {
                let launcher = std::env::current_exe()?;
                let broker = BrokerProcess::start(kind, data.path(), Port::Any, &launcher).await?;
                Ok(Self::Apache(Box::new(broker)))
            }
        }
    }

    fn bootstrap_servers(&self) -> String {
        match self {
            Self::Embedded(broker) => broker.bootstrap_servers(),
            Self::Apache(broker) => broker.bootstrap_servers(),
        }
    }

    fn secured(&self) -> Option<&Secured> {
        match self {
            Self::Embedded(_) => None,
            Self::Apache(broker) => broker.secured(),
        }
    }

    async fn stop(self) -> Result<()> {
        match self {
            Self::Embedded(broker) => broker.stop().await,
            Self::Apache(broker) => broker.stop().await,
        }
    }
}

/// Waits for the command and passes on requests to stop; the command decides when it is done.
async fn wait(mut child: Child, signals: &mut Signals) -> Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            request = signals.next() => pass_on(&child, request)?,
        }
    }
}

fn pass_on(child: &Child, request: Request) -> Result<()> {
    let signal = match request {
        // The terminal has sent it to the command as well.
        Request::Interrupt => return Ok(()),
        Request::Terminate => Signal::TERM,
        Request::Hangup => Signal::HUP,
    };
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        kill_process(pid, signal)?;
    }
    Ok(())
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_is_the_commands_own_or_tells_the_signal() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }
}
