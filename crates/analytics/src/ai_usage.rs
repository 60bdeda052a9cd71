//! AI usage: how often each user has run each flow, and what that has cost.

use std::collections::BTreeMap;

use careeros_shared::{Error, Result, db::Tx, events::AiFlowExecuted, id};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::events::Origin;

/// Runs by tenant, user and flow. A failed run counts: it has been asked for, and may have cost something.
///
/// In the order of the table's key, so that two writers cannot wait for each other.
#[derive(Debug, Default)]
pub struct AiUsage(BTreeMap<(Uuid, Uuid, String), Runs>);

#[derive(Debug)]
struct Runs {
    count: i64,
    cost_usd: Decimal,
    newest: DateTime<Utc>,
}

impl AiUsage {
    /// Adds a run.
    ///
    /// # Errors
    /// 400 for a negative cost.
    pub fn add(&mut self, origin: Origin, user_id: Uuid, run: AiFlowExecuted) -> Result<()> {
        if run.total_cost_usd.is_sign_negative() && !run.total_cost_usd.is_zero() {
            return Err(Error::invalid("total_cost_usd", "must be 0 or more"));
        }
        let none = Runs { count: 0, cost_usd: Decimal::ZERO, newest: origin.occurred_at };
        let runs = self.0.entry((origin.tenant_id, user_id, run.flow_name)).or_insert(none);
        runs.count += 1;
        runs.cost_usd = runs
            .cost_usd
            .checked_add(run.total_cost_usd)
            .ok_or_else(|| Error::invalid("total_cost_usd", "is too large"))?;
        runs.newest = runs.newest.max(origin.occurred_at);
        Ok(())
    }

    /// Adds the runs to what is stored.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn write(&self, tx: &mut Tx) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into ai_usage_analytics as a
                 (id, tenant_id, user_id, flow_name, total_runs, total_cost_usd, snapshot_at)
             select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::numeric[],
                                  $7::timestamptz[])
             on conflict on constraint ai_usage_analytics_tenant_id_user_id_flow_name_key do update
             set total_runs = a.total_runs + excluded.total_runs,
                 total_cost_usd = a.total_cost_usd + excluded.total_cost_usd,
                 snapshot_at = greatest(a.snapshot_at, excluded.snapshot_at)",
            &self.0.values().map(|runs| id::new(runs.newest)).collect::<Vec<_>>(),
            &self.0.keys().map(|key| key.0).collect::<Vec<_>>(),
            &self.0.keys().map(|key| key.1).collect::<Vec<_>>(),
            &self.0.keys().map(|key| key.2.as_str()).collect::<Vec<_>>() as &[&str],
            &self.0.values().map(|runs| runs.count).collect::<Vec<_>>(),
            &self.0.values().map(|runs| runs.cost_usd).collect::<Vec<_>>(),
            &self.0.values().map(|runs| runs.newest).collect::<Vec<_>>(),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
