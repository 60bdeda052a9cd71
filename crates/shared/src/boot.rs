//! The one boot sequence: configuration, telemetry, database, clients, servers, consumers, drain.
//!
//! `main` of every service and the local launcher call the same [`Runtime`]; the launcher passes in the environment, the
//! listeners and the shutdown signal that a process of its own would make for itself.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    clock::Clock,
    config::{self, AppEnv, Common, Service, Stores},
    consumer::{Consumer, Handler, Runner},
    db::Db,
    directory::Directory,
    ending::Ending,
    env::{Env, Problems, Reader},
    grpc::{self, Deadlines, Guard, Services, Transport},
    health::{self, Readiness},
    http::{self, Edge},
    idempotency,
    identity::Verifier,
    kafka::{Kafka, Probe},
    metrics, outbox,
    relay::Relay,
    telemetry,
    trace::{self, Tracer},
};

/// Threads that allocate and free at once do not wait for each other, and what passwords are hashed in, 19 MiB each, is given
/// back: docs/PERFORMANCE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long requests under way may take after the shutdown signal, the grace included.
const DRAIN: Duration = Duration::from_secs(11);
/// How long relay and consumers may take after that; all together stays below 20 s, and so below Kubernetes' 30 s.
const BACKGROUND_DRAIN: Duration = Duration::from_secs(4);
/// How long threads that block may take in the end.
const LAST_THREADS: Duration = Duration::from_secs(1);
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
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands of every service; one that has others takes these in.
#[derive(Debug, Clone, Copy, Default, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default).
    #[default]
    Serve,
    /// Apply the migrations of the service's database and exit.
    Migrate,
    /// Ask the service that runs beside, on `HTTP_PORT`, whether it is ready: status 0 or 1. For container health checks.
    Health,
}

/// `main` of every service: does what `arguments`, the program's name first, ask for.
pub fn main<F>(
    arguments: impl IntoIterator<Item = OsString>,
    service: &'static Service,
    migrations: Option<&'static Migrator>,
    run: impl FnOnce(Boot) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    perform(Arguments::parse_from(arguments).command.unwrap_or_default(), service, migrations, run)
}

/// Does what `command` asks of a service.
pub fn perform<F>(
    command: Command,
    service: &'static Service,
    migrations: Option<&'static Migrator>,
    run: impl FnOnce(Boot) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
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
            (Command::Health, _) => {
                let env = Env::from_process();
                let mut reader = Reader::new(&env);
                let port = reader.parsed("HTTP_PORT", service.http_port, "a port from 1 to 65535");
                reader.finish()?;
                health::ask(port).await
            }
        }
    })
}

/// Runs `work` on a new runtime; its failure is told on standard error. Status 2 is a wrong environment, 1 all else.
pub fn exit_code<F: Future<Output = anyhow::Result<()>>>(work: impl FnOnce() -> F) -> ExitCode {
    let workers = config::worker_threads(&mut Reader::new(&Env::from_process()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let result = runtime.context("the runtime could not be started").and_then(|runtime| {
        let result = runtime.block_on(work());
        runtime.shutdown_timeout(LAST_THREADS);
        result
    });
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
    /// Makes the service's spans.
    pub tracer: Tracer,
    listeners: Option<Listeners>,
    ending: Ending,
    // Nobody looks for another process of a service that runs inside a launcher or a test.
    grace: Duration,
    tasks: TaskTracker,
    // Ends relay, consumers and the sending of metrics, after the servers.
    background: CancellationToken,
    // Cancelled, so to say, once the topics are there.
    topics_made: CancellationToken,
}

impl Runtime {
    /// Starts telemetry and what every service needs of others.
    ///
    /// # Errors
    /// Where an address is not one.
    pub fn new(service: &'static Service, common: Common, boot: Boot) -> anyhow::Result<Self> {
        telemetry::init(&common.log_level, common.log_json);
        metrics::install(boot.clock.now());
        let (background, tasks) = (CancellationToken::new(), TaskTracker::new());
        let tracer = match &common.otlp_endpoint {
            Some(endpoint) => {
                let pusher = metrics::Pusher::new(service.name, endpoint, boot.clock.clone())?;
                tasks.spawn(pusher.run(background.clone()));
                Tracer::new(service.name, endpoint, common.trace_ratio)?
            }
            None => Tracer::off(),
        };
        let auth = grpc::connect(&common.auth_grpc_url, &common.service_secret, AUTH_DEADLINE)?;
        let auth = trace::client(&tracer, auth);
        let (verifier, clock) = (Verifier::remote(auth.clone()), boot.clock);
        Ok(Self {
            service,
            grace: if boot.listeners.is_some() { Duration::ZERO } else { common.shutdown_grace },
            common,
            clock,
            verifier,
            directory: Directory::new(auth),
            tracer,
            readiness: Readiness::default(),
            listeners: boot.listeners,
            ending: Ending { asked: boot.shutdown, ..Ending::default() },
            tasks,
            background,
            topics_made: CancellationToken::new(),
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
        let in_production = self.common.app_env == AppEnv::Production;
        self.readiness = std::mem::take(&mut self.readiness)
            .with("database", move || {
                let db = checked.clone();
                async move {
                    db.check(migrations).await?;
                    if in_production { db.check_role().await } else { Ok(()) }
                }
            })
            .with("broker", move || {
                let probe = probe.clone();
                async move { probe.check().await }
            });
        let (service, tracer) = (self.service.name, self.tracer.clone());
        let relay = Relay { service, db: db.clone(), kafka: kafka.clone(), tracer };
        self.tasks.spawn(relay.run(self.background.clone()));
        self.spawn(outbox::watch(db.clone(), service));
        let (topics, made) = (kafka.clone(), self.topics_made.clone());
        self.spawn(async move {
            make_topics(&topics).await;
            made.cancel();
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
        let (service, tracer) = (self.service.name, self.tracer.clone());
        let runner = Runner { service, consumer, db: db.clone(), kafka: kafka.clone(), tracer };
        let (made, background) = (self.topics_made.clone(), self.background.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = made.cancelled() => runner.run(background).await,
                () = background.cancelled() => {}
            }
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

    /// A transport to another service; its calls end at their deadline.
    ///
    /// # Errors
    /// Where `url` is not an address.
    pub fn connect(&self, url: &str, deadlines: impl Into<Deadlines>) -> anyhow::Result<Transport> {
        Ok(trace::client(&self.tracer, grpc::connect(url, &self.common.service_secret, deadlines)?))
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
            tracer: self.tracer.clone(),
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
            ending: self.ending.clone(),
            tracer: self.tracer.clone(),
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
        let http = http::serve(listeners.http, router, self.ending.closing.clone());
        let closing = self.ending.closing.clone();
        let grpc = async move {
            match (services, listeners.grpc) {
                (Some(services), Some(listener)) => services.serve(listener, readiness, closing).await,
                _ => Ok(()),
            }
        };
        let servers = async move { tokio::try_join!(http, grpc).map(|_| ()) };
        let served = tokio::select! {
            served = servers => served,
            () = self.ending.run(self.grace, DRAIN) => {
                tracing::warn!(service = self.service.name, "some requests were still running when the drain ended");
                Ok(())
            }
        };
        // A server that failed takes the service down with it.
        self.ending.closing.cancel();
        self.background.cancel();
        self.tasks.close();
        if tokio::time::timeout(BACKGROUND_DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(service = self.service.name, "background work was still running when the drain ended");
        }
        let tracer = self.tracer;
        if tokio::time::timeout(LAST_THREADS, tokio::task::spawn_blocking(|| tracer.shutdown())).await.is_err() {
            tracing::warn!(service = self.service.name, "the collector did not take the last spans");
        }
        tracing::info!(service = self.service.name, "stopped");
        served
    }
}

/// Makes the contract's topics, once the broker is there.
async fn make_topics(kafka: &Kafka) {
    let topics: Vec<_> = crate::events::TOPICS.map(str::to_owned).into();
    let mut reported = false;
    while let Err(error) = kafka.ensure_topics(&topics).await {
        if reported {
            tracing::debug!(error = format!("{error:#}"), "the topics still cannot be made");
        } else {
            reported = true;
            tracing::warn!(
                error = format!("{error:#}"),
                "consumers wait until the topics are there; make them by hand if this service may not"
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
