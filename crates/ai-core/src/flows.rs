//! Flows: what the service can carry out, by name and version, with the schemas of input and output and the policies of
//! retry and fallback. The table `ai_flows` is the registry; the service's own flows are written into it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use careeros_shared::{
    Result,
    db::Db,
    error::{Error, OrNotFound},
    id,
    proto::aicore,
};
use chrono::{DateTime, Utc};
use moka::future::Cache;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{chain::RetryPolicy, engine, schema::Schema};

/// The version of the service's own flows and of their prompts.
const VERSION: &str = "v1";
/// How old the registry in memory may be.
const FRESH: Duration = Duration::from_secs(30);

/// Who answers when the primary model does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FallbackPolicy {
    /// The other models.
    pub backup_models: bool,
    /// The deterministic engine, for the flows it knows.
    pub engine: bool,
}

impl Default for FallbackPolicy {
    fn default() -> Self {
        Self { backup_models: true, engine: true }
    }
}

/// A flow in one version.
#[derive(Debug)]
pub struct Flow {
    /// The name.
    pub name: String,
    /// The version, `v` and a number.
    pub version: String,
    /// The version of the prompt.
    pub prompt_version: String,
    /// What an input must be.
    pub input: Schema,
    /// What an output must be.
    pub output: Schema,
    /// How often models are asked.
    pub retry: RetryPolicy,
    /// Who answers instead.
    pub fallback: FallbackPolicy,
    /// What the engine makes of it, for the flows it knows.
    pub engine: Option<engine::Flow>,
}

impl From<&Flow> for aicore::Flow {
    fn from(flow: &Flow) -> Self {
        Self {
            flow_name: flow.name.clone(),
            flow_version: flow.version.clone(),
            input_schema_json: flow.input.document.to_string(),
            output_schema_json: flow.output.document.to_string(),
        }
    }
}

/// The registry, kept in memory for a short while.
#[derive(Debug, Clone)]
pub struct Flows {
    db: Db,
    written: Arc<OnceCell<()>>,
    loaded: Cache<(), Arc<Registry>>,
}

/// All active flows, each name's newest version first.
type Registry = HashMap<String, Vec<Arc<Flow>>>;

impl Flows {
    /// The registry in `db`.
    pub fn new(db: Db) -> Self {
        Self { db, written: Arc::default(), loaded: Cache::builder().max_capacity(1).time_to_live(FRESH).build() }
    }

    /// The active flow `name` in `version`, or in its newest where that is empty.
    ///
    /// # Errors
    /// 404 where there is none; 503 where the database is away.
    pub async fn get(&self, name: &str, version: &str, now: DateTime<Utc>) -> Result<Arc<Flow>> {
        let registry = self.registry(now).await?;
        let versions = registry.get(name).or_not_found("flow")?;
        let found = versions.iter().find(|flow| version.is_empty() || flow.version == version);
        found.cloned().or_not_found("flow version")
    }

    /// All active flows by name, the newest version of each first.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn list(&self, now: DateTime<Utc>) -> Result<Vec<Arc<Flow>>> {
        let registry = self.registry(now).await?;
        let mut flows: Vec<_> = registry.values().flatten().cloned().collect();
        flows.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| number(&b.version).cmp(&number(&a.version))));
        Ok(flows)
    }

    async fn registry(&self, now: DateTime<Utc>) -> Result<Arc<Registry>> {
        let load = async {
            self.written.get_or_try_init(|| write(&self.db, now)).await?;
            load(&self.db).await.map(Arc::new)
        };
        self.loaded.try_get_with((), load).await.map_err(|error: Arc<Error>| {
            // One failure answers all that waited for it.
            Error::new(error.kind(), error.message()).with_source(anyhow::Error::msg(error.to_string()))
        })
    }
}

/// Writes the service's own flows; what an operator has set in the policies and in `is_active` stays.
async fn write(db: &Db, now: DateTime<Utc>) -> Result<()> {
    for flow in engine::Flow::ALL {
        let (input, output) = schemas(flow);
        let input: Value = serde_json::from_str(input).map_err(Error::internal)?;
        let output: Value = serde_json::from_str(output).map_err(Error::internal)?;
        sqlx::query!(
            "insert into ai_flows as f
                 (id, flow_name, flow_version, prompt_version, input_schema_json, output_schema_json, created_at)
             values ($1, $2, $3, $3, $4, $5, $6)
             on conflict on constraint ai_flows_flow_name_flow_version_key do update
             set prompt_version = excluded.prompt_version, input_schema_json = excluded.input_schema_json,
                 output_schema_json = excluded.output_schema_json
             where (f.prompt_version, f.input_schema_json, f.output_schema_json)
                 is distinct from (excluded.prompt_version, excluded.input_schema_json, excluded.output_schema_json)",
            id::new(now),
            flow.name(),
            VERSION,
            input,
            output,
            now,
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

async fn load(db: &Db) -> Result<Registry> {
    let rows = sqlx::query!(
        "select flow_name, flow_version, prompt_version, input_schema_json, output_schema_json, retry_policy_json,
                fallback_policy_json
         from ai_flows where is_active"
    )
    .fetch_all(db)
    .await?;
    let mut registry = Registry::new();
    for row in rows {
        let (name, version) = (row.flow_name, row.flow_version);
        let read = || -> anyhow::Result<Flow> {
            Ok(Flow {
                engine: engine::Flow::from_name(&name),
                input: Schema::new(row.input_schema_json)?,
                output: Schema::new(row.output_schema_json)?,
                retry: serde_json::from_value(row.retry_policy_json)?,
                fallback: serde_json::from_value(row.fallback_policy_json)?,
                prompt_version: row.prompt_version,
                name: name.clone(),
                version: version.clone(),
            })
        };
        match read() {
            Ok(flow) => registry.entry(name).or_default().push(Arc::new(flow)),
            // One broken row must not take the others down.
            Err(error) => {
                tracing::error!(flow.name = name, flow.version = version, error = %error, "a flow is not usable");
            }
        }
    }
    for versions in registry.values_mut() {
        versions.sort_by_key(|flow| std::cmp::Reverse(number(&flow.version)));
    }
    Ok(registry)
}

/// `v10` is newer than `v9`; what is no version is older than all.
fn number(version: &str) -> u32 {
    version.trim_start_matches('v').parse().unwrap_or_default()
}

/// The schemas of input and output.
fn schemas(flow: engine::Flow) -> (&'static str, &'static str) {
    macro_rules! of {
        ($name:literal) => {
            (
                include_str!(concat!("../data/schemas/", $name, ".v1.input.json")),
                include_str!(concat!("../data/schemas/", $name, ".v1.output.json")),
            )
        };
    }
    match flow {
        engine::Flow::ResumeAnalysis => of!("resume_analysis"),
        engine::Flow::SkillGapAnalysis => of!("skill_gap_analysis"),
        engine::Flow::RoadmapGenerator => of!("roadmap_generator"),
        engine::Flow::InterviewSimulation => of!("interview_simulation"),
        engine::Flow::ProductivityAdvisor => of!("productivity_advisor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(number("v10") > number("v9"));
        assert_eq!(number("draft"), 0);
    }

    #[test]
    fn a_policy_keeps_its_defaults_where_it_says_nothing() {
        let policy: RetryPolicy = serde_json::from_str(r#"{"attempts": 1}"#).unwrap();
        assert_eq!(policy, RetryPolicy { attempts: 1, ..RetryPolicy::default() });
        assert!(serde_json::from_str::<FallbackPolicy>(r#"{"engin": false}"#).is_err());
    }
}
