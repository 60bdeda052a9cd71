//! The nine services as nine processes of their own binaries, each with its own environment.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use careeros_fleet::{
    broker::Broker,
    data::DataDir,
    databases::{self, Database},
    journey::Client,
    net::Port,
    postgres::{self, Postgres},
    services::{self, Entry},
};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support;

/// The binaries in the order of [`services::ALL`].
const BINARIES: [&str; 9] = [
    "careeros-gateway",
    "careeros-auth",
    "careeros-profile",
    "careeros-ai-core",
    "careeros-roadmap",
    "careeros-lms",
    "careeros-edu-tracker",
    "careeros-billing",
    "careeros-analytics",
];
const SECRET: &str = "shared-by-nine-processes";
const WEBHOOK_SECRET: &str = "webhooks-of-nine-processes";
/// How long a service may take until it is ready.
const READY: Duration = Duration::from_mins(1);
/// How long a service may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(20);

type Variables = BTreeMap<&'static str, String>;

/// A binary that was built beside this test.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is missing: build it by  cargo build --workspace --bins", path.display());
    path
}

fn command(name: &str, variables: &Variables) -> Command {
    let mut command = Command::new(binary(name));
    command.env_clear().envs(variables).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Nine processes with their PostgreSQL and broker.
pub(crate) struct Processes {
    variables: Vec<Variables>,
    running: Vec<Option<Child>>,
    directory: TempDir,
    broker: Broker,
    postgres: Postgres,
}

impl Processes {
    /// Starts everything and waits until the gateway and all behind it are ready.
    pub(crate) async fn start() -> Self {
        let directory = support::directory();
        let data = DataDir::open(directory.path()).unwrap();
        let options = postgres::Options { port: Port::Any, durable: false, max_connections: 150 };
        let postgres = Postgres::start(&data, options).await.unwrap();
        let broker = Broker::start(&data, Port::Any).await.unwrap();
        let databases = databases::provision(&postgres, data.secrets()).await.unwrap();
        let variables = environments(&databases, &broker.bootstrap_servers()).await;
        migrate(&databases).await;
        let mut processes = Self { variables, running: BINARIES.map(|_| None).into(), directory, broker, postgres };
        for service in 0..BINARIES.len() {
            processes.run(service);
        }
        for service in 0..BINARIES.len() {
            processes.ready(service).await;
        }
        processes
    }

    /// The URL of a service's REST port; the gateway is the first.
    pub(crate) fn url(&self, service: usize) -> String {
        format!("http://127.0.0.1:{}", self.variables[service]["HTTP_PORT"])
    }

    /// A client of the gateway that says nothing.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url(0), WEBHOOK_SECRET.into(), |_| ()).unwrap()
    }

    /// Starts one service.
    pub(crate) fn run(&mut self, service: usize) {
        let log = File::options().create(true).append(true).open(self.log(service)).unwrap();
        let child = command(BINARIES[service], &self.variables[service]).stdout(Stdio::null()).stderr(log).spawn();
        self.running[service] = Some(child.unwrap());
    }

    /// Kills one service as a crash would.
    pub(crate) async fn kill(&mut self, service: usize) {
        self.running[service].take().unwrap().kill().await.unwrap();
    }

    fn log(&self, service: usize) -> PathBuf {
        self.directory.path().join(format!("{}.log", BINARIES[service]))
    }

    async fn ready(&mut self, service: usize) {
        let url = format!("{}/health/ready", self.url(service));
        let answers = async {
            while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let is_ready = tokio::time::timeout(READY, answers).await.is_ok();
        assert!(is_ready, "{} is not ready: {}", BINARIES[service], self.said(service));
    }

    fn said(&self, service: usize) -> String {
        fs::read_to_string(self.log(service)).unwrap()
    }

    /// Asks all processes to end, and returns how each did.
    async fn terminate(&mut self) -> Vec<(&'static str, ExitStatus)> {
        let running: Vec<_> = self.running.iter_mut().map(|child| child.take().unwrap()).collect();
        for child in &running {
            let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
            kill_process(pid.unwrap(), Signal::TERM).unwrap();
        }
        let deadline = tokio::time::Instant::now() + DRAIN;
        let mut ended = Vec::new();
        for (name, mut child) in BINARIES.into_iter().zip(running) {
            let status = tokio::time::timeout_at(deadline, child.wait()).await;
            let status = status.unwrap_or_else(|_| panic!("{name} still runs 20 s after SIGTERM"));
            ended.push((name, status.unwrap()));
        }
        ended
    }

    /// Stops everything.
    pub(crate) async fn stop(mut self) {
        for child in self.running.iter_mut().flatten() {
            child.kill().await.unwrap();
        }
        self.broker.stop().await.unwrap();
        self.postgres.stop().await.unwrap();
    }
}

/// What each process finds in its environment: ports of its own, its database, and where the others are.
async fn environments(databases: &[Database], brokers: &str) -> Vec<Variables> {
    let mut common: Variables = [
        ("KAFKA_BROKERS", brokers),
        ("SERVICE_SHARED_SECRET", SECRET),
        ("BILLING_WEBHOOK_SECRETS", WEBHOOK_SECRET),
        ("LOG_LEVEL", "warn"),
        ("LOG_FORMAT", "json"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    // Held until all are known, so that no two are the same.
    let mut held = Vec::new();
    let mut port = async || {
        let listener = Port::Any.listen("a test").await.unwrap();
        let number = listener.local_addr().unwrap().port().to_string();
        held.push(listener);
        number
    };
    let mut ports = Vec::new();
    for entry in &services::ALL {
        let (http, grpc) = (port().await, port().await);
        if let Some(rpc) = entry.rpc {
            common.insert(rpc.url_variable, format!("127.0.0.1:{grpc}"));
        }
        ports.push((http, grpc));
    }
    let own = |(entry, (http, grpc)): (&Entry, (String, String))| {
        let mut own = common.clone();
        own.insert("HTTP_PORT", http);
        own.insert("GRPC_PORT", grpc);
        let database = entry.database.and_then(|kept| databases.iter().find(|d| d.name == kept.name));
        own.extend(database.map(|d| ("DATABASE_URL", d.service_url.expose_secret().to_owned())));
        own
    };
    services::ALL.iter().zip(ports).map(own).collect()
}

/// Applies each service's migrations by its own binary, as the databases' owner.
async fn migrate(databases: &[Database]) {
    for (name, entry) in BINARIES.iter().zip(&services::ALL) {
        let database = entry.database.and_then(|kept| databases.iter().find(|d| d.name == kept.name));
        let Some(database) = database else { continue };
        let url = database.migrator_url.expose_secret().to_owned();
        let output = command(name, &[("DATABASE_URL", url)].into()).arg("migrate").output().await.unwrap();
        assert!(output.status.success(), "{name} migrate: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journey_crosses_nine_processes_that_end_when_asked() {
    let _machine = support::alone().await;
    let mut processes = Processes::start().await;
    processes.client().walk().await.unwrap();
    for (name, status) in processes.terminate().await {
        assert_eq!(status.code(), Some(0), "{name} after SIGTERM");
    }
    for (service, name) in BINARIES.iter().enumerate() {
        let said = processes.said(service);
        assert!(!said.contains(SECRET) && !said.contains(WEBHOOK_SECRET), "a secret in {said}");
        assert!(!said.contains("\"level\":\"ERROR\""), "{name} logged {said}");
    }
    processes.stop().await;
}

#[tokio::test]
async fn a_wrong_environment_is_reported_as_a_whole_before_anything_is_served() {
    let _machine = support::alone().await;
    let variables = [("HTTP_PORT", "abc"), ("SERVICE_SHARED_SECRET", "too-short")];
    let variables: Variables = variables.map(|(name, value)| (name, value.to_owned())).into();
    for (name, entry) in BINARIES.iter().zip(&services::ALL) {
        let ran = tokio::time::timeout(DRAIN, command(name, &variables).output());
        let output = ran.await.unwrap_or_else(|_| panic!("{name} serves")).unwrap();
        let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        let stores: &[_] = if entry.database.is_some() { &["DATABASE_URL", "KAFKA_BROKERS"] } else { &[] };
        for variable in ["HTTP_PORT", "SERVICE_SHARED_SECRET"].iter().chain(stores) {
            assert_eq!(said.matches(&format!("- {variable} ")).count(), 1, "{variable} of {name}: {said}");
        }
        assert_eq!(said.matches("error:").count(), 1, "{name}: {said}");
        assert!(!said.contains("too-short"), "{name} shows the secret: {said}");
    }
}
