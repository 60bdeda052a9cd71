//! The one boot sequence: configuration, telemetry, database, clients, servers, consumers, drain.
//!
//! `main` of every service and the local launcher call the same [`Runtime`]; the launcher passes in the environment, the
//! listeners and the shutdown signal that a process of its own would make for itself.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    clock::Clock,
    config::{Common, Service, Stores},
    consumer::{Consumer, Handler, Runner},
    db::Db,
    directory::Directory,
    env::{Env, Problems, Reader},
    grpc::{self, Guard, Services, Transport},
    health::Readiness,
    http::{self, Edge},
    idempotency,
    identity::Verifier,
    kafka::{Kafka, Probe},
    metrics,
    relay::Relay,
    telemetry,
};

/// How long requests under way may take after the shutdown signal.
const DRAIN: Duration = Duration::from_secs(12);
/// How long relay and consumers may take after that; both together stay below 20 s, and so below Kubernetes' 30 s.
const BACKGROUND_DRAIN: Duration = Duration::from_secs(6);
/// How long a call to the auth service may take.
const AUTH_DEADLINE: Duration = Duration::from_secs(3);

/// What a service is started with.
#[derive(Debug)]
pub struct Boot {
    /// Its environment.
    pub env: Env,
    /// Where it listens; bound from the configuration where absent.
    pub listeners: Option<Listeners>,
    /// Ends it.
    pub shutdown: CancellationToken,
    /// Tells the time.
    pub clock: Clock,
}

/// Bound ports.
#[derive(Debug)]
pub struct Listeners {
    /// REST, health, metrics.
    pub http: TcpListener,
    /// RPCs; the gateway has none.
    pub grpc: Option<TcpListener>,
}

impl Listeners {
    async fn bind(common: &Common, grpc: bool) -> anyhow::Result<Self> {
        Ok(Self {
            http: bind("HTTP_PORT", common.http_port).await?,
            grpc: if grpc { Some(bind("GRPC_PORT", common.grpc_port).await?) } else { None },
        })
    }
}

async fn bind(variable: &str, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("port {port} cannot be listened on; free it or set {variable} to another"))
}

#[derive(Debug, Parser)]
#[command(about = "A CareerOS service. Settings come from the environment; .env.example lists them.", version)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default).
    Serve,
    /// Apply the migrations of the service's database and exit.
    Migrate,
}

/// `main` of every service: serves, or migrates where the first argument says so.
pub fn main<F>(
    service: &'static Service,
    migrations: Option<&'static Migrator>,
    run: impl FnOnce(Boot) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let command = if std::env::args_os().len() > 1 { Command::parse() } else { Command::Serve };
    exit_code(|| async {
        match (command, migrations) {
            (Command::Serve, _) => {
                let shutdown = CancellationToken::new();
                cancel_on_signal(shutdown.clone())?;
                run(Boot { env: Env::from_process(), listeners: None, shutdown, clock: Clock::system() }).await
            }
            (Command::Migrate, Some(migrations)) => {
                let env = Env::from_process();
                let mut reader = Reader::new(&env);
                let url = reader.secret("DATABASE_URL", "postgres://user:password@host:port/database");
                reader.finish()?;
                telemetry::init(env.get("LOG_LEVEL").unwrap_or("info"), env.get("LOG_FORMAT") == Some("json"));
                Db::connect_lazy(&url, 2, service.name)?.migrate(migrations).await?;
                tracing::info!(service = service.name, "the migrations are applied");
                Ok(())
            }
            (Command::Migrate, None) => Ok(()),
        }
    })
}

/// Runs `work` on a new runtime; its failure is told on standard error. Status 2 is a wrong environment, 1 all else.
pub fn exit_code<F: Future<Output = anyhow::Result<()>>>(work: impl FnOnce() -> F) -> ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")
        .and_then(|runtime| runtime.block_on(work()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the log may not have been started")]
            {
                eprintln!("error: {error:#}");
            }
            if error.is::<Problems>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Cancels `shutdown` on SIGTERM, SIGINT or Ctrl-C.
///
/// # Errors
/// Where the handlers cannot be installed.
pub fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}

/// A service between its configuration and its drain.
#[derive(Debug)]
pub struct Runtime {
    /// Which service.
    pub service: &'static Service,
    /// The settings that every service has.
    pub common: Common,
    /// Tells the time.
    pub clock: Clock,
    /// Checks users' tokens.
    pub verifier: Verifier,
    /// Knows users' tenants.
    pub directory: Directory,
    /// Adds the service's own dependencies to readiness.
    pub readiness: Readiness,
    listeners: Option<Listeners>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    // Ends relay and consumers, after the servers.
    background: CancellationToken,
}

impl Runtime {
    /// Starts telemetry and what every service needs of others.
    ///
    /// # Errors
    /// Where an address is not one.
    pub fn new(service: &'static Service, common: Common, boot: Boot) -> anyhow::Result<Self> {
        telemetry::init(&common.log_level, common.log_json);
        metrics::install();
        let auth = grpc::connect(&common.auth_grpc_url, &common.service_secret, AUTH_DEADLINE)?;
        let (verifier, clock) = (Verifier::remote(auth.clone()), boot.clock);
        Ok(Self {
            service,
            common,
            clock,
            verifier,
            directory: Directory::new(auth),
            readiness: Readiness::default(),
            listeners: boot.listeners,
            shutdown: boot.shutdown,
            tasks: TaskTracker::new(),
            background: CancellationToken::new(),
        })
    }

    /// Connects database and broker, starts the relay and adds both to readiness.
    ///
    /// # Errors
    /// Where a setting is unusable; that one of the two is away is no error.
    pub fn stores(&mut self, stores: &Stores, migrations: &'static Migrator) -> anyhow::Result<(Db, Kafka)> {
        let db = Db::connect_lazy(&stores.database_url, stores.database_max_connections, self.service.name)?;
        let kafka = Kafka::new(stores);
        let probe = Probe::new(&kafka)?;
        let checked = db.clone();
        self.readiness = std::mem::take(&mut self.readiness)
            .with("database", move || {
                let db = checked.clone();
                async move { db.check(migrations).await }
            })
            .with("broker", move || {
                let probe = probe.clone();
                async move { probe.check().await }
            });
        let relay = Relay { service: self.service.name, db: db.clone(), kafka: kafka.clone() };
        let (topics, background) = (kafka.clone(), self.background.clone());
        self.tasks.spawn(async move {
            make_topics(&topics, &background).await;
            relay.run(background).await;
        });
        let (swept, clock, background) = (db.clone(), self.clock.clone(), self.background.clone());
        self.tasks.spawn(async move {
            while !background.is_cancelled() {
                crate::relay::pause(Duration::from_mins(10), &background).await;
                if let Err(error) = idempotency::sweep(&swept, clock.now()).await {
                    tracing::debug!(error = %error, "old idempotency keys stay until the next sweep");
                }
            }
        });
        Ok((db, kafka))
    }

    /// Starts a consumer group.
    pub fn consume<H: Handler>(&self, db: &Db, kafka: &Kafka, consumer: Consumer<H>) {
        let runner = Runner { service: self.service.name, consumer, db: db.clone(), kafka: kafka.clone() };
        let (kafka, background) = (kafka.clone(), self.background.clone());
        self.tasks.spawn(async move {
            make_topics(&kafka, &background).await;
            runner.run(background).await;
        });
    }

    /// Runs `work` until it ends or the service does; it is awaited in the drain.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let background = self.background.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = background.cancelled() => {}
            }
        });
    }

    /// A transport to another service; its calls end after `deadline`.
    ///
    /// # Errors
    /// Where `url` is not an address.
    pub fn connect(&self, url: &str, deadline: Duration) -> anyhow::Result<Transport> {
        grpc::connect(url, &self.common.service_secret, deadline)
    }

    /// Serves `routes` as RPCs and what `rest` makes of a transport to them as REST, until shutdown and drain.
    ///
    /// # Errors
    /// Where a port cannot be listened on or a server fails.
    pub async fn serve(self, routes: Routes, rest: impl FnOnce(Transport) -> axum::Router) -> anyhow::Result<()> {
        let guard = Guard {
            service: self.service.name,
            secret: self.common.service_secret.clone(),
            verifier: self.verifier.clone(),
            clock: self.clock.clone(),
        };
        let services = Services::new(routes, guard);
        let rest = rest(grpc::in_process(&services));
        self.run(Some(services), rest).await
    }

    /// Serves `rest` alone: the gateway.
    ///
    /// # Errors
    /// Where the port cannot be listened on or the server fails.
    pub async fn serve_http(self, rest: axum::Router) -> anyhow::Result<()> {
        self.run(None, rest).await
    }

    async fn run(mut self, services: Option<Services>, rest: axum::Router) -> anyhow::Result<()> {
        let listeners = match self.listeners.take() {
            Some(listeners) => listeners,
            None => Listeners::bind(&self.common, services.is_some()).await?,
        };
        let edge = Edge {
            service: self.service.name,
            clock: self.clock.clone(),
            verifier: self.verifier.clone(),
            trusted_proxies: self.common.trusted_proxies.clone(),
            timeout: self.common.request_timeout,
        };
        let readiness = std::mem::take(&mut self.readiness);
        let router = http::router(rest, edge, readiness.clone());
        self.spawn(self.verifier.clone().follow(self.clock.clone()));
        self.spawn(async {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                metrics::upkeep();
            }
        });
        tracing::info!(service = self.service.name, http.address = ?listeners.http.local_addr().ok(), "serving");
        let http = http::serve(listeners.http, router, self.shutdown.clone());
        let (grpc_shutdown, on_failure) = (self.shutdown.clone(), self.shutdown.clone());
        let grpc = async move {
            match (services, listeners.grpc) {
                (Some(services), Some(listener)) => services.serve(listener, readiness, grpc_shutdown).await,
                _ => Ok(()),
            }
        };
        let servers = async move { tokio::try_join!(http, grpc).map(|_| ()) };
        let overdue = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let served = tokio::select! {
            served = servers => served,
            () = overdue => {
                tracing::warn!(service = self.service.name, "some requests were still running when the drain ended");
                Ok(())
            }
        };
        // A server that failed takes the service down with it.
        on_failure.cancel();
        self.background.cancel();
        self.tasks.close();
        if tokio::time::timeout(BACKGROUND_DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(service = self.service.name, "background work was still running when the drain ended");
        }
        tracing::info!(service = self.service.name, "stopped");
        served
    }
}

/// Makes the contract's topics, once the broker is there.
async fn make_topics(kafka: &Kafka, shutdown: &CancellationToken) {
    let topics: Vec<_> = crate::events::TOPICS.map(str::to_owned).into();
    while let Err(error) = kafka.ensure_topics(&topics).await {
        tracing::debug!(error = format!("{error:#}"), "the topics cannot be made yet");
        crate::relay::pause(Duration::from_secs(1), shutdown).await;
        if shutdown.is_cancelled() {
            return;
        }
    }
}
