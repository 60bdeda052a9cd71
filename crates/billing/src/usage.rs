//! Metering: how many AI executions each user, and each tenant as a pool, has had in a calendar month (UTC).
//!
//! Executions are counted as ai-core's events tell of them, so that a quota can be overrun by what is under way when it is
//! spent. One that failed costs nothing.

use careeros_shared::{
    Result,
    consumer::Handler,
    db::{Db, Tx},
    error::Error,
    events::{AiFlowExecuted, Envelope, Event},
    projection::Projection,
    sweep,
};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};

/// The consumer group.
pub const GROUP: &str = "billing-usage-v1";

/// What the group keeps.
pub const PROJECTION: Projection = Projection {
    group: GROUP,
    topics: &[AiFlowExecuted::TOPIC],
    tables: &["metered_executions", "ai_usage"],
    queues: &[],
    reads: &[],
    afterwards: &[],
};

/// How long it is remembered which executions were counted; then their month concerns nobody any more.
const RETENTION: Days = Days::new(100);

/// The first day of the month of `at`.
pub fn month_of(at: DateTime<Utc>) -> NaiveDate {
    let day = at.date_naive();
    day.with_day(1).unwrap_or(day)
}

/// The first day of the month after that of `at`, when quotas are full again.
pub fn next_month(at: DateTime<Utc>) -> NaiveDate {
    month_of(at).checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX)
}

/// Counts executions.
#[derive(Debug, Clone, Copy)]
pub struct Usage;

impl Handler for Usage {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        let (mut executions, mut tenants, mut users, mut months) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for envelope in events {
            let event: AiFlowExecuted = envelope.payload()?;
            match event.status.as_str() {
                "SUCCESS" | "PARTIAL" => {
                    executions.push(event.execution_id);
                    tenants.push(envelope.tenant()?);
                    users.push(envelope.user()?.ok_or_else(|| Error::invalid("user_id", "is required"))?);
                    months.push(month_of(envelope.occurred_at));
                }
                "FAILED" => {}
                _ => return Err(Error::invalid("payload.status", "must be SUCCESS, PARTIAL or FAILED")),
            }
        }
        // Rows are written in the order of their keys, so that two consumers never wait for each other in a circle.
        sqlx::query!(
            "with executed as (
                 select distinct on (execution_id) execution_id, tenant_id, user_id, month
                 from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::date[]) e (execution_id, tenant_id, user_id, month)
                 order by execution_id, month
             ), metered as (
                 insert into metered_executions (execution_id, tenant_id, user_id, month)
                 select execution_id, tenant_id, user_id, month from executed order by execution_id
                 on conflict on constraint metered_executions_pkey do nothing
                 returning tenant_id, user_id, month
             ), used as (
                 select user_id as holder_id, month, tenant_id from metered
                 union all
                 select tenant_id, month, tenant_id from metered
             )
             insert into ai_usage as u (holder_id, month, tenant_id, executions)
             select holder_id, month, tenant_id, count(*) from used group by holder_id, month, tenant_id
             order by holder_id, month
             on conflict on constraint ai_usage_pkey do update set executions = u.executions + excluded.executions",
            &executions,
            &tenants,
            &users,
            &months,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Forgets which executions were counted long ago.
///
/// # Errors
/// 503 where the database is away.
pub async fn sweep(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let before = month_of(now).checked_sub_days(RETENTION).unwrap_or(NaiveDate::MIN);
    let delete = || {
        sqlx::query!(
            "delete from metered_executions where ctid = any(array(
                 select ctid from metered_executions where month < $1
                 order by month limit $2 for update skip locked))",
            before,
            sweep::BATCH,
        )
    };
    sweep::all(db, delete).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_utc() {
        let last: DateTime<Utc> = "2026-12-31T23:59:59.999999Z".parse().unwrap();
        assert_eq!(month_of(last).to_string(), "2026-12-01");
        assert_eq!(next_month(last).to_string(), "2027-01-01");
        assert_eq!(month_of("2026-12-31T23:30:00-01:00".parse().unwrap()).to_string(), "2027-01-01");
    }
}
