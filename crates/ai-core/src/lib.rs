//! The AI core: flows carried out by language models, or by rules where no model answers.
//!
//! An execution asks the chain of models ([`chain`], [`provider`]) by the flow's prompt ([`prompts`]), checks the output
//! against the flow's schema ([`flows`], [`schema`]), falls back to the deterministic [`engine`], and stores what it cost.

pub mod chain;
pub mod chat;
pub mod config;
pub mod engine;
pub mod entitlement;
pub mod executions;
pub mod flows;
pub mod grpc;
pub mod output;
pub mod pricing;
pub mod prompts;
pub mod provider;
pub mod schema;
pub mod usage;

use std::{ffi::OsString, process::ExitCode, sync::Arc, time::Duration};

use careeros_shared::{
    Result,
    batch::Batch,
    boot::{self, Boot, Runtime},
    config::{Service, load},
    context::Context,
    db::Db,
    error::Error,
    trace::Tracer,
};
use sqlx::migrate::Migrator;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::{
    chain::{Budget, Chain, Question, Trail},
    config::Config,
    engine::Engine,
    entitlement::Entitlement,
    executions::record::{self, Record},
    flows::Flows,
    pricing::Prices,
    prompts::Prompts,
    provider::{
        Prompt, Provider,
        openai::{self, Endpoint, OpenAi},
    },
};

/// What the service is called and where it listens.
pub const SERVICE: Service = Service { name: "ai-core-service", http_port: 8083, grpc_port: 6003 };

/// The tables of the database `ai_core`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/ai_core");

/// How long a call to the billing service may take.
const BILLING_DEADLINE: Duration = Duration::from_secs(3);
/// What checking, computing and storing an answer may take besides.
const ANSWERING: Duration = Duration::from_secs(1);
/// How long executions whose clients have left may take after the servers have stopped.
const LEFTOVERS: Duration = Duration::from_secs(3);
/// A streamed answer that is longer in the writing is cut.
const STREAM_DEADLINE: Duration = Duration::from_mins(2);

/// What executions need.
#[derive(Debug)]
pub struct Core {
    /// The database `ai_core`.
    pub db: Db,
    /// The registry.
    pub flows: Flows,
    /// The rules.
    pub engine: Engine,
    /// The prompts.
    pub prompts: Prompts,
    /// The models.
    pub chain: Chain,
    /// Asks billing.
    pub entitlement: Entitlement,
    /// How long models may take.
    pub limits: Limits,
    /// Makes the spans of calls to models.
    pub tracer: Tracer,
    records: Batch<Record, ()>,
    tasks: TaskTracker,
}

/// How long models may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One call.
    pub call: Duration,
    /// All calls of an execution.
    pub deadline: Duration,
}

impl Limits {
    fn budget(&self) -> Budget {
        Budget { deadline: Instant::now() + self.deadline, call: self.call }
    }

    fn stream_budget(&self) -> Budget {
        Budget { deadline: Instant::now() + STREAM_DEADLINE, call: self.call }
    }
}

impl Core {
    /// The core of a service on `db` that asks `models`.
    ///
    /// # Errors
    /// Where embedded data are malformed or a model's address is not usable.
    pub fn new(
        db: Db,
        models: Vec<Endpoint>,
        entitlement: Entitlement,
        limits: Limits,
        tracer: Tracer,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            flows: Flows::new(db.clone()),
            records: Batch::new(&db, record::create_all),
            db,
            engine: Engine::embedded()?,
            prompts: Prompts::embedded()?,
            chain: chain(models)?,
            entitlement,
            limits,
            tracer,
            tasks: TaskTracker::new(),
        })
    }

    /// `prompt` as part of the request that `context` is of.
    fn question<'a>(&'a self, prompt: &'a Prompt, budget: Budget, context: &'a Context) -> Question<'a> {
        Question { prompt, budget, trail: Trail { tracer: &self.tracer, parent: &context.correlation.traceparent } }
    }

    /// Does `work` to its end even where the caller leaves: a model is paid for what it writes, and so it is recorded.
    async fn finish<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        self.tasks.spawn(work.in_current_span()).await.map_err(Error::internal)?
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work.in_current_span());
    }

    /// Awaits what callers have left behind.
    async fn drain(&self) {
        self.tasks.close();
        if tokio::time::timeout(LEFTOVERS, self.tasks.wait()).await.is_err() {
            tracing::warn!("some executions were still running when the drain ended");
        }
    }

    /// Why the rules answer.
    fn why_no_model(&self) -> &'static str {
        if self.chain.is_empty() { "no language model is configured" } else { "no language model gave a valid answer" }
    }
}

fn chain(models: Vec<Endpoint>) -> anyhow::Result<Chain> {
    let (client, prices) = (openai::client()?, Prices::embedded()?);
    let links = models.into_iter().map(|endpoint| {
        let price = prices.find(&endpoint.model);
        if price.is_none() {
            tracing::warn!(model = endpoint.model, "the model is in no price list; its calls are counted as free");
        }
        let model: Arc<dyn Provider> = Arc::new(OpenAi::new(client.clone(), endpoint)?);
        Ok((model, price.unwrap_or_default()))
    });
    Ok(Chain::new(links.collect::<anyhow::Result<Vec<_>>>()?))
}

/// The service as a process; `arguments` are those of its command line, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    boot::main(arguments, &SERVICE, Some(&MIGRATIONS), run)
}

/// Runs the service until its shutdown.
///
/// # Errors
/// Where the environment is wrong or a port cannot be listened on.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    let (common, config) = load(&SERVICE, &boot.env, Config::read).await?;
    // Whoever waits must not be gone before the rules have answered.
    let deadline = config.deadline.min(common.request_timeout.saturating_sub(BILLING_DEADLINE + ANSWERING));
    let mut runtime = Runtime::new(&SERVICE, common, boot)?;
    let (db, _kafka) = runtime.stores(&config.stores, &MIGRATIONS)?;
    let entitlement = Entitlement::new(runtime.connect(&config.billing_grpc_url, BILLING_DEADLINE)?);
    let limits = Limits { call: config.call_timeout, deadline };
    let core = Arc::new(Core::new(db, config.models, entitlement, limits, runtime.tracer.clone())?);
    let app = grpc::App { core: Arc::clone(&core), directory: runtime.directory.clone() };
    let served = runtime.serve(app.routes(), careeros_rest::ai::routes).await;
    core.drain().await;
    served
}
