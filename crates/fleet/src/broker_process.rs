//! A broker as a process of its own, so that tests can kill, stop and restart it alone: the embedded
//! one, run by [`crate::broker::serve`] behind the argument `broker`, or Apache Kafka.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use careeros_shared::env::Env;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::apache::{self, Secured};
use crate::net::Port;

/// The variable that chooses the broker of tests.
pub const VARIABLE: &str = "CAREEROS_TEST_BROKER";
/// A Java machine on a busy computer takes its time.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// For one question to the broker while it starts.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);
/// How much of a broker's log an error repeats.
const LAST_LINES: usize = 5;

/// Which broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The one of this crate.
    #[default]
    Embedded,
    /// Apache Kafka, which `scripts/kafka.sh` fetches.
    Apache,
}

impl Kind {
    /// The kind that `CAREEROS_TEST_BROKER` names; the embedded broker when it is not set.
    ///
    /// # Errors
    /// When it names something else.
    pub fn from_env(env: &Env) -> Result<Self> {
        match env.get(VARIABLE) {
            None | Some("embedded") => Ok(Self::Embedded),
            Some("apache") => Ok(Self::Apache),
            Some(other) => bail!("{VARIABLE} must be embedded or apache, not {other:?}"),
        }
    }

    /// What `CAREEROS_TEST_BROKER` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Apache => "apache",
        }
    }

    /// The directory of its data, so that the two never share one.
    fn directory(self) -> &'static str {
        match self {
            Self::Embedded => "broker-process",
            Self::Apache => "apache-kafka",
        }
    }

    /// Whether `status` is that of a process which ended because it was asked to.
    fn has_stopped(self, status: ExitStatus) -> bool {
        /// Java ends by the signal's number after its shutdown hooks.
        const JAVA_TERMINATED: i32 = 143;
        status.success() || (self == Self::Apache && status.code() == Some(JAVA_TERMINATED))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "the embedded broker",
            Self::Apache => "Apache Kafka",
        })
    }
}

/// A broker in a process of its own. Dropping it kills it; on Linux it also dies with the thread that started it, and
/// so with this process however that ends.
#[derive(Debug)]
pub struct BrokerProcess {
    kind: Kind,
    /// Absolute.
    directory: PathBuf,
    port: u16,
    launcher: PathBuf,
    secured: Option<Secured>,
    /// None between a kill and a restart.
    child: Option<Child>,
}

impl BrokerProcess {
    /// Starts a broker that keeps its data in a directory of its own inside `parent`, and returns when it
    /// answers clients. `launcher` is the program that the embedded broker runs in, `careeros-fleet` or another one
    /// with its command `broker`.
    ///
    /// # Errors
    /// One sentence saying what to do: port in use, Apache Kafka not fetched, data that cannot be opened.
    pub async fn start(kind: Kind, parent: &Path, port: Port, launcher: &Path) -> Result<Self> {
        let directory = parent.join(kind.directory());
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let directory = directory.canonicalize()?;
        let port = port.number("the Kafka broker").await?;
        let mut broker = Self { kind, directory, port, launcher: launcher.to_owned(), secured: None, child: None };
        if kind == Kind::Apache {
            broker.secured = Some(apache::prepare(&broker.directory, port).await?);
        }
        broker.launch().await?;
        Ok(broker)
    }

    /// What clients take as `bootstrap.servers`; the same after a restart.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process's id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Where it also listens with TLS and passwords; the embedded broker does not.
    pub fn secured(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    /// The process's log.
    pub fn log(&self) -> PathBuf {
        self.directory.join("process.log")
    }

    /// Ends the process by SIGKILL and waits until it is gone; nothing when it is already.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.with_context(|| format!("cannot kill {}", self.kind))?;
        }
        Ok(())
    }

    /// Starts the broker again on its port and data, killing it first where it still runs, and returns when
    /// it answers clients.
    ///
    /// # Errors
    /// As [`BrokerProcess::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.launch().await
    }

    /// Stops the process where it stands (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    #[expect(clippy::unused_async, reason = "like its siblings, whose work takes time")]
    pub async fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    #[expect(clippy::unused_async, reason = "like its siblings, whose work takes time")]
    pub async fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// When it had failed before, or does not end in time (it is killed then).
    pub async fn stop(mut self) -> Result<()> {
        if self.child.is_none() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        // A paused process would not see it.
        self.signal(Signal::CONT)?;
        let Some(child) = &mut self.child else { return Ok(()) };
        match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(status) => {
                let status = status?;
                if self.kind.has_stopped(status) { Ok(()) } else { Err(self.failure(status)) }
            }
            Err(_elapsed) => {
                self.kill().await?;
                bail!("{} did not stop within {} s and was killed", self.kind, STOP_TIMEOUT.as_secs())
            }
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.with_context(|| format!("{} does not run", self.kind))?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.kind))
    }

    async fn launch(&mut self) -> Result<()> {
        let log =
            File::options().create(true).append(true).open(self.log()).context("cannot write the broker's log")?;
        let (program, arguments) = match self.kind {
            Kind::Embedded => (self.launcher.clone(), self.embedded()),
            Kind::Apache => apache::server(&self.directory)?,
        };
        let mut command = mortal(&program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Its own process group: Ctrl-C on the terminal reaches this process, which ends the broker.
        command.process_group(0).kill_on_drop(true);
        self.child = Some(command.spawn().with_context(|| format!("cannot run {}", program.display()))?);
        self.answers().await
    }

    fn embedded(&self) -> Vec<std::ffi::OsString> {
        let port = self.port.to_string();
        let directory = self.directory.clone().into_os_string();
        vec!["broker".into(), "--data".into(), directory, "--port".into(), port.into()]
    }

    /// Waits until the broker tells a client about itself.
    async fn answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                return Err(self.failure(status));
            }
            let servers = self.bootstrap_servers();
            match tokio::task::spawn_blocking(move || ask(&servers)).await? {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("{} does not answer", self.kind));
                }
                Err(_not_yet) => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn failure(&self, status: ExitStatus) -> anyhow::Error {
        let log = self.log();
        let said = fs::read_to_string(&log).unwrap_or_default();
        anyhow!("{} ended ({status}): {} (see {})", self.kind, last_lines(&said), log.display())
    }
}

/// A command that is killed when this process ends, however it ends, where the system can do so.
fn mortal(program: &Path) -> Command {
    // Part of util-linux; it becomes the program, so that the process id is the program's.
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].map(Path::new).into_iter().find(|path| path.exists());
    let Some(setpriv) = setpriv.filter(|_| cfg!(target_os = "linux")) else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn ask(servers: &str) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    let client: BaseConsumer = config.create()?;
    let metadata = client.fetch_metadata(None, ASK_TIMEOUT)?;
    if metadata.brokers().is_empty() {
        bail!("it knows no broker yet");
    }
    Ok(())
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    if last.is_empty() { "it does not say why".to_owned() } else { last.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_the_one_that_the_environment_names() {
        let kind = |value: &str| Kind::from_env(&[(VARIABLE.to_owned(), value.to_owned())].into_iter().collect());
        assert_eq!(Kind::from_env(&Env::default()).unwrap(), Kind::Embedded);
        assert_eq!(kind("embedded").unwrap(), Kind::Embedded);
        assert_eq!(kind("apache").unwrap(), Kind::Apache);
        let error = kind("kafka").unwrap_err().to_string();
        assert!(error.contains(VARIABLE) && error.contains("\"kafka\""), "{error}");
    }

    #[test]
    fn failure_repeats_the_end_of_the_log() {
        assert_eq!(last_lines("1\n2\n\n3\n4\n5\n6\n"), "2; 3; 4; 5; 6");
        assert_eq!(last_lines("\n"), "it does not say why");
    }
}
