//! `careeros-fleet up`: PostgreSQL, the broker and all nine services in this process.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use careeros_shared::{
    boot::{Boot, Listeners},
    clock::Clock,
    env::Env,
};
use secrecy::ExposeSecret as _;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    data::DataDir,
    net::Port,
    services::{self, Entry},
    settings,
    signals::Signals,
    stores::{self, Options, Stores},
    ui,
};

/// How long the services may take until every one is ready.
const READY: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// Runs everything until Ctrl-C.
///
/// # Errors
/// One sentence saying what to do.
pub async fn run(data: &Path) -> Result<()> {
    let mut signals = Signals::catch()?;
    let env = Env::from_process();
    let data = DataDir::open(data)?;
    let options = Options::from_env(&env)?;
    let mut fleet = tokio::select! {
        started = Fleet::start(env, &data, options, Ports::Contract) => started?,
        request = signals.next() => {
            ui::say(format_args!("{request} while starting"));
            return Ok(());
        }
    };
    settings::write(data.path(), &fleet.settings())?;
    fleet.announce(&data);
    let ended = tokio::select! {
        request = signals.next() => {
            ui::say(format_args!("\n{request}: finishing requests and stopping (again to stop at once)"));
            None
        }
        error = fleet.ended() => Some(error),
    };
    tokio::select! {
        stopped = fleet.stop() => stopped?,
        _ = signals.next() => ui::say("Stopped at once"),
    }
    ended.map_or(Ok(()), Err)
}

/// Where the services listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// On the contract's ports, which the environment can move.
    Contract,
    /// On any that are free; for tests.
    Any,
}

/// The running services with their stores.
#[derive(Debug)]
pub struct Fleet {
    /// The gateway's URL, without a slash at its end.
    pub gateway: String,
    /// Each service's name, HTTP URL and gRPC address.
    pub addresses: Vec<Address>,
    /// What the services were started with, beside their own.
    pub env: Env,
    /// PostgreSQL and broker.
    pub stores: Stores,
    services: JoinSet<Result<&'static str>>,
    shutdown: CancellationToken,
}

/// Where a service answers.
#[derive(Debug, Clone)]
pub struct Address {
    /// Its name.
    pub service: &'static str,
    /// Its URL, without a slash at its end.
    pub http: String,
    /// `host:port` of its RPCs.
    pub grpc: Option<String>,
}

impl Fleet {
    /// Starts everything and returns when every service is ready.
    ///
    /// # Errors
    /// One sentence saying what to do.
    pub async fn start(mut env: Env, data: &DataDir, options: Options, ports: Ports) -> Result<Self> {
        for (variable, purpose) in
            [("SERVICE_SHARED_SECRET", "service secret"), ("BILLING_WEBHOOK_SECRETS", "billing webhooks")]
        {
            env.set_default(variable, data.secrets().derive(purpose).expose_secret());
        }
        // The broker's own spans are of no use here and cost time.
        let level = env.get("LOG_LEVEL").unwrap_or("info");
        let level = format!("{level},tansu_broker=error,tansu_storage=off,tansu_service=error,tansu_sans_io=error");
        env.set("LOG_LEVEL", level);
        // Taken first: a port in use shall be told before anything is started.
        let mut bound = Vec::new();
        for entry in &services::ALL {
            bound.push(bind(entry, &env, ports).await?);
        }
        for (entry, (_, address)) in services::ALL.iter().zip(&bound) {
            if let (Some(rpc), Some(address)) = (entry.rpc, &address.grpc) {
                env.set(rpc.url_variable, address);
            }
        }
        let stores = Stores::start(&env, data, options).await?;
        ui::say("Starting nine services");
        let shutdown = CancellationToken::new();
        let mut services = JoinSet::new();
        let mut addresses = Vec::new();
        for (entry, (listeners, address)) in services::ALL.iter().zip(bound) {
            addresses.push(address);
            let boot = Boot {
                env: own_env(&env, entry, &stores),
                listeners: Some(listeners),
                shutdown: shutdown.clone(),
                clock: Clock::system(),
            };
            let (name, run) = (entry.service.name, entry.run);
            services.spawn(async move { run(boot).await.with_context(|| format!("{name} failed")).map(|()| name) });
        }
        let gateway = addresses[0].http.clone();
        let mut fleet = Self { gateway, addresses, env, stores, services, shutdown };
        fleet.ready().await?;
        Ok(fleet)
    }

    /// Waits until every service is ready, and says which is.
    async fn ready(&mut self) -> Result<()> {
        let addresses = self.addresses.clone();
        let wait = async {
            for address in &addresses {
                let mut reason = String::new();
                while let Err(now) = is_ready(&address.http).await {
                    if now != reason {
                        reason = now;
                        ui::say(format_args!("  waiting for {}: {reason}", address.service));
                    }
                    tokio::time::sleep(POLL).await;
                }
                ui::say(format_args!("  ready  {:<30} {}", address.service, address.http));
            }
        };
        tokio::select! {
            waited = tokio::time::timeout(READY, wait) => waited.context("the services were not ready within 60 s; see their log above"),
            error = ended(&mut self.services) => Err(error),
        }
    }

    /// Waits until something that has to run ends by itself.
    pub async fn ended(&mut self) -> anyhow::Error {
        tokio::select! {
            error = ended(&mut self.services) => error,
            error = self.stores.ended() => error,
        }
    }

    /// Drains and stops the services, then the stores.
    ///
    /// # Errors
    /// Where one had failed.
    pub async fn stop(mut self) -> Result<()> {
        self.shutdown.cancel();
        let mut result = Ok(());
        while let Some(ended) = self.services.join_next().await {
            result = result.and(ended.map_err(Into::into).and_then(|ended| ended.map(|_| ())));
        }
        result.and(self.stores.stop().await)
    }

    /// What the commands of a second terminal need, and a service that is to run alone.
    fn settings(&self) -> Vec<(String, String)> {
        let mut settings =
            vec![("GATEWAY_URL".into(), self.gateway.clone()), ("KAFKA_BROKERS".into(), self.stores.brokers.clone())];
        for name in ["SERVICE_SHARED_SECRET", "BILLING_WEBHOOK_SECRETS"] {
            settings.extend(self.env.get(name).map(|value| (name.to_owned(), value.to_owned())));
        }
        for database in services::ALL.iter().filter_map(|entry| entry.database) {
            let (own, owners) = (&self.stores.urls[database.name], &self.stores.owner_urls[database.name]);
            settings.push((database.url_variable.to_owned(), stores::text(own).to_owned()));
            // Rebuilding a projection makes a schema, which only the owner may.
            let variable = format!("{}_MIGRATION_DATABASE_URL", database.name.to_uppercase());
            settings.push((variable, stores::text(owners).to_owned()));
        }
        settings
    }

    fn announce(&self, data: &DataDir) {
        let gateway = &self.gateway;
        ui::say(format_args!(
            "\nCareerOS is ready.\n\n  API        {gateway}/v1\n  health     {gateway}/health/ready\n  data       {}\n  webhooks   BILLING_WEBHOOK_SECRETS is in {}\n\nTry it:\n\n  curl -s -X POST {gateway}/v1/auth/register \\\n    -H 'content-type: application/json' \\\n    -d '{{\"email\":\"ada@example.com\",\"password\":\"correct horse battery\"}}'\n\nWalk the whole journey in a second terminal with ./scripts/dev.sh --demo. Ctrl-C stops everything.",
            data.path().display(),
            settings::path(data.path()).display(),
        ));
    }
}

async fn ended(services: &mut JoinSet<Result<&'static str>>) -> anyhow::Error {
    match services.join_next().await {
        Some(Ok(Ok(name))) => anyhow::anyhow!("{name} ended by itself"),
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => panic.into(),
        None => anyhow::anyhow!("no service is running"),
    }
}

async fn is_ready(http: &str) -> std::result::Result<(), String> {
    let answer = reqwest::get(format!("{http}/health/ready")).await.map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        return Ok(());
    }
    let report: serde_json::Value = answer.json().await.map_err(|error| error.to_string())?;
    let dependencies = report["dependencies"].as_object().into_iter().flatten();
    let failing = dependencies.filter(|(_, state)| state.as_str() != Some("ok"));
    Err(failing
        .map(|(name, state)| format!("{name} {}", state.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join("; "))
}

async fn bind(entry: &Entry, env: &Env, ports: Ports) -> Result<(Listeners, Address)> {
    let name = entry.service.name;
    let http_port = stores::fixed(env, entry.http_variable, entry.service.http_port)?;
    let http = listen(name, http_port, ports).await?;
    let grpc = match entry.rpc {
        None => None,
        Some(rpc) => {
            let port = stores::fixed(env, rpc.port_variable, entry.service.grpc_port)?;
            Some(listen(name, port, ports).await?)
        }
    };
    let address = Address {
        service: name,
        http: format!("http://{}", http.local_addr()?),
        grpc: grpc.as_ref().map(TcpListener::local_addr).transpose()?.map(|address| address.to_string()),
    };
    Ok((Listeners { http, grpc }, address))
}

async fn listen(service: &'static str, port: Port, ports: Ports) -> Result<TcpListener> {
    let port = if ports == Ports::Any { Port::Any } else { port };
    let listener = port.listen(service).await?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// What a service would find in its own process's environment.
pub fn own_env(env: &Env, entry: &Entry, stores: &Stores) -> Env {
    let mut own = env.clone();
    own.set("KAFKA_BROKERS", &stores.brokers);
    if let Some(database) = entry.database {
        own.set("DATABASE_URL", stores::text(&stores.urls[database.name]));
    }
    own
}
