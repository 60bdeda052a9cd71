//! The nine services as nine processes with a private PostgreSQL and a broker, each of which can be started by itself.

mod environment;
mod service;
mod stores;

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use careeros_fleet::{
    broker_process::{BrokerProcess, Kind},
    data::DataDir,
    journey::Client,
    postgres::Postgres,
};
use careeros_shared::{config::Stores, db::Db, env::Reader, kafka::Kafka};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use self::environment::{Ports, Variables};
pub(crate) use self::service::Service;
use crate::{process, topics::Topics};

/// What figures call PostgreSQL.
pub(crate) const POSTGRESQL: &str = "postgresql";
/// What figures call the broker.
pub(crate) const BROKER: &str = "broker";

const SECRET: &str = "shared-by-nine-processes";
const WEBHOOK_SECRET: &str = "webhooks-of-nine-processes";
/// How long a service may take until it is ready.
const READY: Duration = Duration::from_mins(1);
/// How long a service may take to end.
const DRAIN: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(20);
/// How much of a log an error repeats.
const LAST_LINES: usize = 5;

/// How the fleet is run.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where the binaries are.
    pub(crate) binaries: PathBuf,
    /// Where the data goes; a temporary directory of the system's choice otherwise.
    pub(crate) data: Option<PathBuf>,
    /// Whether PostgreSQL counts statements, which costs a little.
    pub(crate) statements: bool,
    /// What every process finds in its environment, beside and before what the fleet gives it.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// The processes with their stores. Dropping it ends them all and removes the data.
#[derive(Debug)]
pub(crate) struct Fleet {
    program: PathBuf,
    variables: Vec<Variables>,
    running: [Option<Child>; 9],
    http: reqwest::Client,
    broker: BrokerProcess,
    postgres: Postgres,
    // Held for its lock.
    _data: DataDir,
    // Last, so that it is removed when nothing uses it any more.
    directory: TempDir,
}

impl Fleet {
    /// Starts PostgreSQL and the broker and applies the migrations; no service runs yet.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let program = program(&options.binaries)?;
        let directory = directory(options.data.as_deref())?;
        let data = DataDir::open(directory.path())?;
        let mut ports = Ports::default();
        let postgres = stores::postgres(&data, ports.fixed()?, options.statements).await?;
        let broker =
            BrokerProcess::start(Kind::Embedded, data.path(), ports.fixed()?, &std::env::current_exe()?).await?;
        let databases = stores::databases(&postgres, &data).await?;
        let common = [
            ("KAFKA_BROKERS", broker.bootstrap_servers()),
            ("SERVICE_SHARED_SECRET", SECRET.to_owned()),
            ("BILLING_WEBHOOK_SECRETS", WEBHOOK_SECRET.to_owned()),
            ("LOG_LEVEL", "warn".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            // No balancer has to learn that a service ends.
            ("SHUTDOWN_GRACE", "0s".to_owned()),
            // The limit is not what is measured.
            ("THROTTLE_LIMIT", u32::MAX.to_string()),
        ];
        let common = common.into_iter().chain(options.variables.iter().cloned()).collect();
        let variables = environment::environments(&databases, common, &mut ports)?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let running = [const { None }; 9];
        Ok(Self { program, variables, running, http, broker, postgres, _data: data, directory })
    }

    /// Starts services and returns when they are ready.
    pub(crate) async fn run(&mut self, services: &[Service]) -> Result<()> {
        for service in services {
            self.launch(*service)?;
        }
        for service in services {
            self.ready(*service).await?;
        }
        Ok(())
    }

    /// Starts a service without waiting for it.
    pub(crate) fn launch(&mut self, service: Service) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log(service))?;
        let mut command = Command::new(&self.program);
        command.arg(service.name()).env_clear().envs(&self.variables[service.index()]).kill_on_drop(true);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.running[service.index()] = Some(child.with_context(|| format!("cannot run {}", service.name()))?);
        Ok(())
    }

    /// Waits until a service and everything that it needs are ready.
    pub(crate) async fn ready(&mut self, service: Service) -> Result<()> {
        let (url, deadline) = (format!("{}/health/ready", self.url(service)), Instant::now() + READY);
        loop {
            let mut reason = "it does not answer".to_owned();
            if let Ok(answer) = self.http.get(&url).send().await {
                if answer.status().is_success() {
                    return Ok(());
                }
                reason = answer.text().await.unwrap_or(reason);
            }
            self.check_runs(service)?;
            let said = || format!("{} is not ready: {reason} {}", service.name(), self.said(service));
            ensure!(Instant::now() < deadline, said());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks a service to end and waits until it has.
    pub(crate) async fn stop(&mut self, service: Service) -> Result<()> {
        let Some(mut child) = self.running[service.index()].take() else { return Ok(()) };
        if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            kill_process(pid, Signal::TERM)?;
        }
        let ended = tokio::time::timeout(DRAIN, child.wait()).await;
        let status = ended.with_context(|| format!("{} does not end", service.name()))??;
        ensure!(status.success(), "{} ended badly ({status}): {}", service.name(), self.said(service));
        Ok(())
    }

    /// Ends everything.
    pub(crate) async fn end(mut self) -> Result<()> {
        for service in Service::ALL {
            self.stop(service).await?;
        }
        self.broker.stop().await?;
        self.postgres.stop().await
    }

    /// An error where a service has ended by itself.
    pub(crate) fn check_runs(&mut self, service: Service) -> Result<()> {
        let status = self.running[service.index()].as_mut().map(Child::try_wait).transpose()?.flatten();
        match status {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}): {}", service.name(), self.said(service)),
        }
    }

    /// The URL of a service's REST port, without a slash at its end.
    pub(crate) fn url(&self, service: Service) -> String {
        format!("http://127.0.0.1:{}", self.variables[service.index()]["HTTP_PORT"])
    }

    /// The sum of a service's metric over the series that `has` names, e.g. `group="billing-usage-v1"`.
    pub(crate) async fn metric(&self, service: Service, name: &str, has: &str) -> Result<u64> {
        let text = self.http.get(format!("{}/metrics", self.url(service))).send().await?.text().await?;
        Ok(sum(&text, name, has))
    }

    /// A superuser's connection to a database.
    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection> {
        let options: PgConnectOptions = self.postgres.superuser_url(database).expose_secret().parse()?;
        Ok(options.connect().await?)
    }

    /// A superuser's URL of a database.
    pub(crate) fn superuser_url(&self, database: &str) -> String {
        self.postgres.superuser_url(database).expose_secret().to_owned()
    }

    /// The URL that a service reaches its database by; empty for the gateway.
    pub(crate) fn database_url(&self, service: Service) -> &str {
        self.variables[service.index()].get("DATABASE_URL").map_or("", String::as_str)
    }

    /// A program of the PostgreSQL that runs, such as `pgbench`.
    pub(crate) fn postgres_program(&self, name: &str) -> PathBuf {
        self.postgres.program(name)
    }

    /// What PostgreSQL has logged.
    pub(crate) fn postgres_log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.postgres.log())?).into_owned())
    }

    /// Where files can be put for as long as the fleet runs.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A service's database, in the service's role.
    pub(crate) fn db(&self, service: Service) -> Result<Db> {
        let url = self.variables[service.index()].get("DATABASE_URL").context("the service has no database")?;
        Db::connect_lazy(&url.clone().into(), 2, "careeros-bench")
    }

    /// How clients reach the broker.
    pub(crate) fn kafka(&self) -> Result<Kafka> {
        let variables = &self.variables[Service::Analytics.index()];
        let env = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut reader = Reader::new(&env);
        let stores = Stores::read(&mut reader);
        reader.finish()?;
        Ok(Kafka::new(&stores))
    }

    /// The topics of the broker.
    pub(crate) fn topics(&self) -> Result<Topics> {
        Ok(Topics::new(&self.kafka()?))
    }

    /// A client of the gateway that says nothing.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::new(&self.url(Service::Gateway), WEBHOOK_SECRET.into(), |_| ())
    }

    /// What runs: the name that figures use and the process at the root of it.
    pub(crate) fn processes(&self) -> Vec<(&'static str, u32)> {
        let pid = |service: Service| self.running[service.index()].as_ref().and_then(Child::id);
        let services = Service::ALL.into_iter().filter_map(|service| Some((service.name(), pid(service)?)));
        let broker = self.broker.id().map(|pid| (BROKER, pid));
        let children = process::children().into_iter();
        let postgres = children.filter_map(|(program, pid)| (program == "postgres").then_some((POSTGRESQL, pid)));
        services.chain(broker).chain(postgres).collect()
    }

    /// What a service has logged last.
    pub(crate) fn said(&self, service: Service) -> String {
        let log = fs::read_to_string(self.log(service)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("; ")
    }

    fn log(&self, service: Service) -> PathBuf {
        self.directory.path().join(format!("{}.log", service.name()))
    }
}

/// What every service runs.
fn program(binaries: &Path) -> Result<PathBuf> {
    let path = binaries.join("careeros");
    ensure!(path.exists(), "{} is missing: build it by  cargo build --release -p careeros", path.display());
    Ok(path)
}

/// A directory that PostgreSQL's user can pass through.
fn directory(parent: Option<&Path>) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("careeros-bench-").permissions(Permissions::from_mode(0o711));
    let made = match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    made.context("cannot create a directory for the data")
}

/// The sum of the series of the metric `name` whose labels contain `has`, in Prometheus' text format.
fn sum(text: &str, name: &str, has: &str) -> u64 {
    let series = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
    series.filter(|(labels, _)| labels.contains(has)).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_series_of_a_metric_are_added() {
        let text = "# TYPE a counter\na{group=\"x\",topic=\"1\"} 2\na{group=\"x\",topic=\"2\"} 3\na{group=\"y\"} 5\nab{group=\"x\"} 7\n";
        assert_eq!(sum(text, "a", "group=\"x\""), 5);
        assert_eq!(sum(text, "a", ""), 10);
        assert_eq!(sum(text, "c", ""), 0);
    }
}
