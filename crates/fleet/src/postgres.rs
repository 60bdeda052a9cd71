//! A private PostgreSQL server from the machine's own programs, on 127.0.0.1 alone, with its data in
//! the launcher's data directory. It is a child of this process and stops with it.

mod account;
mod binaries;
mod cluster;
mod crash;
mod leftover;
mod pause;

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::process::Child;

use crate::data::DataDir;
use crate::net::Port;
use cluster::Cluster;

/// The server's name in messages.
const SERVER: &str = "PostgreSQL";
/// The role that owns the server.
const SUPERUSER: &str = "postgres";
const START_TIMEOUT: Duration = Duration::from_mins(1);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// How often a start is tried when what stands in its way passes by itself.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);
/// The backends of a killed server hold its shared memory until they notice.
const PASSING: [&str; 2] = ["pre-existing shared memory block", "could not bind IPv4 address"];

/// How to run the server.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where it listens.
    pub port: Port,
    /// Whether commits survive a crash of the machine; tests do without and are faster. They survive a crash of the
    /// server either way.
    pub durable: bool,
    /// Connections at once.
    pub max_connections: u16,
}

/// A running server. Dropping it stops it, but [`Postgres::stop`] says how that went.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    port: u16,
    password: SecretString,
    cluster: Cluster,
    paused: bool,
}

impl Postgres {
    /// Starts the server of `data`, creating its cluster at the first start, and returns when it
    /// accepts connections.
    ///
    /// # Errors
    /// One sentence saying what to do: nothing installed, port in use, data of another version.
    pub async fn start(data: &DataDir, options: Options) -> Result<Self> {
        let cluster = Cluster::of(data.path())?;
        let password = data.secrets().derive("postgres superuser");
        cluster.ensure(&password, options.durable).await?;
        leftover::clear(cluster.directory()).await?;
        let mut attempt = 1;
        loop {
            let port = options.port.number(SERVER).await?;
            let child = cluster.serve(port, options)?;
            let mut server = Self { child, port, password: password.clone(), cluster: cluster.clone(), paused: false };
            match server.accepts_connections().await {
                Ok(()) => return Ok(server),
                Err(error) if attempt == ATTEMPTS || !passes(&error) => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            attempt += 1;
        }
    }

    /// The port it listens on at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of a program of the installation that it runs from, such as `psql`; it need not be there.
    pub fn program(&self, name: &str) -> PathBuf {
        self.cluster.program(name)
    }

    /// The file that it logs to.
    pub fn log(&self) -> PathBuf {
        self.cluster.log()
    }

    /// The superuser's URL of `database`; `postgres` is there from the start.
    pub fn superuser_url(&self, database: &str) -> SecretString {
        self.url(SUPERUSER, &self.password, database)
    }

    /// The URL of `database` for `role`.
    pub fn url(&self, role: &str, password: &SecretString, database: &str) -> SecretString {
        format!("postgres://{role}:{}@127.0.0.1:{}/{database}?sslmode=disable", password.expose_secret(), self.port)
            .into()
    }

    /// Waits until the server ends by itself; it does not while all is well.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => self.failure(status),
            Err(error) => anyhow!(error).context("cannot watch PostgreSQL"),
        }
    }

    /// Stops the server: sessions are ended and data is written out.
    ///
    /// # Errors
    /// When it had ended before, or does not end in time (it is killed then).
    pub async fn stop(mut self) -> Result<()> {
        self.interrupt();
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.failure(status)),
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => {
                self.child.kill().await?;
                bail!("PostgreSQL did not stop within {} s and was killed", STOP_TIMEOUT.as_secs())
            }
        }
    }

    /// Kills the server with all its processes, as a crash would; what was committed is there again after a new start.
    ///
    /// # Errors
    /// When a process of it does not end.
    pub async fn kill(mut self) -> Result<()> {
        crash::kill(&mut self.child, self.cluster.directory()).await
    }

    /// Stops the server with all its processes where it stands: connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.paused = true;
        pause::pause(&self.child, self.cluster.directory());
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) {
        self.paused = false;
        pause::resume(self.cluster.directory());
    }

    /// Asks for PostgreSQL's fast shutdown.
    fn interrupt(&self) {
        if self.paused {
            // Nobody who is stopped hears it.
            pause::resume(self.cluster.directory());
        }
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::INT)) {
            tracing::warn!(%error, "cannot signal PostgreSQL");
        }
    }

    async fn accepts_connections(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(status));
            }
            match connect(&self.superuser_url("postgres")).await {
                Ok(connection) => {
                    connection.close().await?;
                    return Ok(());
                }
                Err(error) if is_wrong_password(&error) => bail!(
                    "the data in {} was made with another password: restore the file secret beside it, \
                     or remove that directory to start afresh",
                    self.cluster.directory().display()
                ),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("PostgreSQL does not accept connections");
                }
                Err(_not_yet) => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn failure(&self, status: ExitStatus) -> anyhow::Error {
        let log = self.cluster.log();
        let said = fs::read_to_string(&log).unwrap_or_default();
        anyhow!("PostgreSQL ended ({status}): {} (see {})", complaints(&said), log.display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        self.interrupt();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }
}

async fn connect(url: &SecretString) -> sqlx::Result<PgConnection> {
    url.expose_secret().parse::<PgConnectOptions>()?.connect().await
}

fn is_wrong_password(error: &sqlx::Error) -> bool {
    const INVALID_PASSWORD: &str = "28P01";
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == INVALID_PASSWORD)
}

fn passes(error: &anyhow::Error) -> bool {
    let message = error.to_string();
    PASSING.iter().any(|passing| message.contains(passing))
}

/// What PostgreSQL's log says went wrong, on one line.
fn complaints(log: &str) -> String {
    let complains = |line: &&str| ["FATAL:", "PANIC:", "could not"].iter().any(|sign| line.contains(sign));
    // A line reads `<time> [<pid>] <level>:  <message>`.
    let messages = log.lines().filter(complains).map(|line| line.split_once(":  ").map_or(line, |(_, said)| said));
    let said = messages.collect::<Vec<_>>().join("; ");
    if said.is_empty() { "it does not say why".to_owned() } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_repeats_what_the_log_complains_about() {
        let log = "2026-01-01 LOG:  starting PostgreSQL\n\
                   2026-01-01 LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use\n\
                   2026-01-01 FATAL:  could not create any TCP/IP sockets\n";
        assert_eq!(
            complaints(log),
            "could not bind IPv4 address \"127.0.0.1\": Address already in use; could not create any TCP/IP sockets"
        );
        assert_eq!(complaints("LOG:  fine\n"), "it does not say why");
    }
}
