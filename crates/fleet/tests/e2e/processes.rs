//! The nine services as nine processes of their own binaries, each with its own environment, and their stores, which can
//! be killed and started again as the services can.

mod environment;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use careeros_fleet::{
    broker_process::{BrokerProcess, Kind},
    data::DataDir,
    databases::{self, Database},
    journey::Client,
    postgres::{self, Postgres},
    services,
};
use careeros_shared::env::Env;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use self::environment::{Ports, Variables};
use crate::support;

/// The binaries in the order of [`services::ALL`].
pub(crate) const BINARIES: [&str; 9] = [
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
/// Their places among them.
pub(crate) const GATEWAY: usize = 0;
pub(crate) const AUTH: usize = 1;
pub(crate) const PROFILE: usize = 2;
pub(crate) const AI_CORE: usize = 3;
pub(crate) const ROADMAP: usize = 4;
pub(crate) const LMS: usize = 5;
pub(crate) const EDU_TRACKER: usize = 6;
pub(crate) const BILLING: usize = 7;
pub(crate) const ANALYTICS: usize = 8;
pub(crate) const SECRET: &str = "shared-by-nine-processes";
const WEBHOOK_SECRET: &str = "webhooks-of-nine-processes";
/// How long a service may take until it is ready.
const READY: Duration = Duration::from_mins(1);
/// How long a service may take to end after SIGTERM.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);
/// How much of each log is shown when a test fails.
const SHOWN_LINES: usize = 25;

/// A binary that was built beside this test.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is missing: build it by  cargo build --workspace --bins", path.display());
    path
}

/// The service `name` as images run it.
fn command(name: &str, variables: &Variables) -> Command {
    let mut command = Command::new(binary("careeros"));
    command
        .arg(name.trim_start_matches("careeros-"))
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Nine processes with their PostgreSQL and broker. When a test fails, the ends of their logs are printed.
pub(crate) struct Processes {
    variables: Vec<Variables>,
    running: Vec<Option<Child>>,
    ports: Ports,
    broker: BrokerProcess,
    postgres: Option<Postgres>,
    postgres_options: postgres::Options,
    data: DataDir,
    // Last, so that it is removed when nothing uses it any more.
    directory: TempDir,
}

impl Processes {
    /// Starts everything and waits until the gateway and all behind it are ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more variables in every environment.
    pub(crate) async fn start_with(extra: &[(&'static str, String)]) -> Self {
        let processes = Self::spawn_with(extra).await;
        processes.all_ready().await;
        processes
    }

    /// The same without waiting for the services.
    pub(crate) async fn spawn_with(extra: &[(&'static str, String)]) -> Self {
        let directory = support::directory();
        let data = DataDir::open(directory.path()).unwrap();
        let mut ports = Ports::default();
        let postgres_options = postgres::Options { port: ports.fixed(), durable: false, max_connections: 200 };
        let postgres = Postgres::start(&data, postgres_options).await.unwrap();
        let kind = Kind::from_env(&Env::from_process()).unwrap();
        let launcher = binary("careeros-fleet");
        let broker = BrokerProcess::start(kind, data.path(), ports.fixed(), &launcher).await.unwrap();
        let databases = databases::provision(&postgres, data.secrets()).await.unwrap();
        let common = [
            ("KAFKA_BROKERS", broker.bootstrap_servers()),
            ("SERVICE_SHARED_SECRET", SECRET.to_owned()),
            ("BILLING_WEBHOOK_SECRETS", WEBHOOK_SECRET.to_owned()),
            ("LOG_LEVEL", "warn".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        let variables = environment::environments(&databases, common.into(), extra, &mut ports);
        migrate(&databases).await;
        let mut processes = Self {
            variables,
            running: BINARIES.map(|_| None).into(),
            ports,
            broker,
            postgres: Some(postgres),
            postgres_options,
            data,
            directory,
        };
        for service in 0..BINARIES.len() {
            processes.run(service);
        }
        processes
    }

    /// The URL of a service's REST port; the gateway is the first.
    pub(crate) fn url(&self, service: usize) -> String {
        format!("http://127.0.0.1:{}", self.variables[service]["HTTP_PORT"])
    }

    /// What a service is started with.
    pub(crate) fn variables(&self, service: usize) -> &Variables {
        &self.variables[service]
    }

    /// `KAFKA_BROKERS`.
    pub(crate) fn brokers(&self) -> &str {
        &self.variables[GATEWAY]["KAFKA_BROKERS"]
    }

    /// A database as its owner sees it, whatever the tenant.
    pub(crate) fn superuser_url(&self, database: &str) -> SecretString {
        self.postgres.as_ref().expect("PostgreSQL runs").superuser_url(database)
    }

    /// A client of the gateway that says nothing.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url(GATEWAY), WEBHOOK_SECRET.into(), |_| ()).unwrap()
    }

    /// Starts one service.
    pub(crate) fn run(&mut self, service: usize) {
        let child = self.spawn(service, &self.variables[service]);
        self.running[service] = Some(child);
    }

    /// Starts one more process of a service, on ports of its own; it ends when it is dropped.
    pub(crate) fn replica(&mut self, service: usize) -> Replica {
        let mut variables = self.variables[service].clone();
        variables.insert("HTTP_PORT", self.ports.next().to_string());
        variables.insert("GRPC_PORT", self.ports.next().to_string());
        let url = format!("http://127.0.0.1:{}", variables["HTTP_PORT"]);
        let child = self.spawn(service, &variables);
        Replica { url, variables, child }
    }

    /// What the services that are started from now on have in a variable.
    pub(crate) fn set(&mut self, variable: &'static str, value: &str) {
        for variables in &mut self.variables {
            variables.insert(variable, value.to_owned());
        }
    }

    /// Makes a further process of a service the one that runs; the one before has ended.
    pub(crate) fn adopt(&mut self, service: usize, replica: Replica) {
        self.variables[service] = replica.variables;
        self.running[service] = Some(replica.child);
    }

    fn spawn(&self, service: usize, variables: &Variables) -> Child {
        let log = File::options().create(true).append(true).open(self.log(service)).unwrap();
        command(BINARIES[service], variables).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Kills one service as a crash would.
    pub(crate) async fn kill(&mut self, service: usize) {
        self.running[service].take().unwrap().kill().await.unwrap();
    }

    /// Stops one service where it stands: it takes connections and answers nothing.
    pub(crate) fn pause(&self, service: usize) {
        signal(self.running[service].as_ref().unwrap(), Signal::STOP);
    }

    /// Lets a paused service go on.
    pub(crate) fn resume(&self, service: usize) {
        signal(self.running[service].as_ref().unwrap(), Signal::CONT);
    }

    /// Asks one service to end, and returns how it did.
    pub(crate) async fn terminate_one(&mut self, service: usize) -> ExitStatus {
        let mut child = self.running[service].take().unwrap();
        signal(&child, Signal::TERM);
        ended(BINARIES[service], &mut child).await
    }

    /// Asks all services to end at once, and returns how each did.
    pub(crate) async fn terminate(&mut self) -> Vec<(&'static str, ExitStatus)> {
        let running: Vec<_> = self.running.iter_mut().map(|child| child.take().unwrap()).collect();
        for child in &running {
            signal(child, Signal::TERM);
        }
        let ends =
            BINARIES.into_iter().zip(running).map(async |(name, mut child)| (name, ended(name, &mut child).await));
        futures::future::join_all(ends).await
    }

    /// Kills the broker as a crash would.
    pub(crate) async fn kill_broker(&mut self) {
        self.broker.kill().await.unwrap();
    }

    /// Starts the broker again where it was, with its data.
    pub(crate) async fn restart_broker(&mut self) {
        self.broker.restart().await.unwrap();
    }

    /// Stops the broker where it stands: its connections stay open and nothing answers.
    pub(crate) async fn pause_broker(&mut self) {
        self.broker.pause().await.unwrap();
    }

    /// Lets a paused broker go on.
    pub(crate) async fn resume_broker(&mut self) {
        self.broker.resume().await.unwrap();
    }

    /// Kills PostgreSQL with all its processes, as a crash would.
    pub(crate) async fn kill_postgres(&mut self) {
        self.postgres.take().unwrap().kill().await.unwrap();
    }

    /// Starts PostgreSQL again where it was, with its data.
    pub(crate) async fn restart_postgres(&mut self) {
        self.postgres = Some(Postgres::start(&self.data, self.postgres_options).await.unwrap());
    }

    /// Stops PostgreSQL with all its processes where it stands.
    pub(crate) fn pause_postgres(&mut self) {
        self.postgres.as_mut().unwrap().pause();
    }

    /// Lets a paused PostgreSQL go on.
    pub(crate) fn resume_postgres(&mut self) {
        self.postgres.as_mut().unwrap().resume();
    }

    fn log(&self, service: usize) -> PathBuf {
        self.directory.path().join(format!("{}.log", BINARIES[service]))
    }

    /// Waits until a service and everything that it needs are ready.
    pub(crate) async fn ready(&self, service: usize) {
        let is_ready = tokio::time::timeout(READY, answers(&self.url(service))).await.is_ok();
        assert!(is_ready, "{} is not ready: {}", BINARIES[service], self.said(service));
    }

    /// Waits until every service is ready.
    pub(crate) async fn all_ready(&self) {
        for service in 0..BINARIES.len() {
            self.ready(service).await;
        }
    }

    /// What a service has logged.
    pub(crate) fn said(&self, service: usize) -> String {
        fs::read_to_string(self.log(service)).unwrap()
    }

    /// Stops everything.
    pub(crate) async fn stop(mut self) {
        for child in self.running.iter_mut().flatten() {
            child.kill().await.unwrap();
        }
        self.broker.kill().await.unwrap();
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await.unwrap();
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for name in BINARIES {
            let log = fs::read_to_string(self.directory.path().join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            eprintln!("--- {name}, {} lines, the last:\n{shown}", lines.len());
        }
    }
}

/// One more process of a service.
pub(crate) struct Replica {
    /// The URL of its REST port.
    pub(crate) url: String,
    /// What it was started with.
    pub(crate) variables: Variables,
    child: Child,
}

impl Replica {
    /// Waits until it and everything that it needs are ready.
    pub(crate) async fn ready(&self) {
        let is_ready = tokio::time::timeout(READY, answers(&self.url)).await.is_ok();
        assert!(is_ready, "the process at {} is not ready", self.url);
    }

    /// What it counts, in Prometheus' text format, if it answers.
    pub(crate) async fn metrics(&self) -> Option<String> {
        reqwest::get(format!("{}/metrics", self.url)).await.ok()?.text().await.ok()
    }

    /// Kills it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn terminate(mut self) {
        signal(&self.child, Signal::TERM);
        let status = ended(&self.url, &mut self.child).await;
        assert!(status.success(), "the process at {} ended with {status}", self.url);
    }
}

async fn answers(url: &str) {
    let url = format!("{url}/health/ready");
    while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    kill_process(pid.expect("it runs"), signal).unwrap();
}

async fn ended(name: &str, child: &mut Child) -> ExitStatus {
    let status = tokio::time::timeout(DRAIN, child.wait()).await;
    status.unwrap_or_else(|_| panic!("{name} still runs 20 s after SIGTERM")).unwrap()
}

/// Applies each service's migrations by its own command, as the databases' owner.
async fn migrate(databases: &[Database]) {
    for (name, entry) in BINARIES.iter().zip(&services::ALL) {
        let Some(database) = environment::database(entry, databases) else { continue };
        let url = database.migrator_url.expose_secret().to_owned();
        let output = command(name, &[("DATABASE_URL", url)].into()).arg("migrate").output().await.unwrap();
        assert!(output.status.success(), "{name} migrate: {output:?}");
    }
}

/// What a process says, in one message, before it ends because of its environment.
pub(crate) async fn refused(name: &str, variables: &Variables) -> String {
    let ran = tokio::time::timeout(DRAIN, command(name, variables).output());
    let output = ran.await.unwrap_or_else(|_| panic!("{name} serves")).unwrap();
    let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{name}: {said}");
    assert_eq!(said.matches("error:").count(), 1, "{name}: {said}");
    said
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
async fn a_services_own_program_does_what_the_one_program_does() {
    for name in BINARIES {
        let own = Command::new(binary(name)).arg("--help").output().await.unwrap();
        let one = command(name, &Variables::new()).arg("--help").output().await.unwrap();
        let [own, one] = [own, one].map(|output| String::from_utf8(output.stdout).unwrap());
        assert!(own.contains("migrate"), "{name}: {own}");
        assert_eq!(own.replace(name, ""), one.replace(&name.replacen('-', " ", 1), ""), "{name}");
    }
}

#[tokio::test]
async fn a_wrong_environment_is_reported_as_a_whole_before_anything_is_served() {
    let _machine = support::alone().await;
    let variables = [("HTTP_PORT", "abc"), ("SERVICE_SHARED_SECRET", "too-short")];
    let variables: Variables = variables.map(|(name, value)| (name, value.to_owned())).into();
    for (name, entry) in BINARIES.iter().zip(&services::ALL) {
        let said = refused(name, &variables).await;
        let stores: &[_] = if entry.database.is_some() { &["DATABASE_URL", "KAFKA_BROKERS"] } else { &[] };
        for variable in ["HTTP_PORT", "SERVICE_SHARED_SECRET"].iter().chain(stores) {
            assert_eq!(said.matches(&format!("- {variable} ")).count(), 1, "{variable} of {name}: {said}");
        }
        assert!(!said.contains("too-short"), "{name} shows the secret: {said}");
    }
}
