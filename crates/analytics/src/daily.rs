//! `kpi_daily`: a tenant's KPIs of each of its days, kept up to date for reports.
//!
//! The consumer notes which tenants changed and since when; this counts the noted days again by `kpi_on`, which alone
//! knows how, and begins each tenant's new day. One process at a time does it; consumers never wait for it.

use std::time::Duration;

use careeros_shared::{
    Result,
    clock::Clock,
    db::{Db, Tx},
};
use chrono::{DateTime, Days, NaiveDate, Utc};
use uuid::Uuid;

/// The rest between two rounds. Reports can wait, and the more of a tenant's changes are counted together, the less work they
/// are.
const REST: Duration = Duration::from_secs(5);
/// A pause is this many times as long as the work before it, which bounds the share of the database that it takes.
const PAUSE_FACTOR: u32 = 4;
/// Tenants counted in one transaction at the most.
const TENANTS: i64 = 200;
/// Days of a tenant counted in one transaction at the most; the rest are noted again.
const DAYS: u64 = 31;
/// Days of tenants counted by one statement at the most.
const CHUNK: usize = 100;
/// How many days back are counted at the most, so that an event from a clock gone wrong costs nothing much: five years.
const HISTORY_DAYS: i32 = 5 * 365;
/// The advisory lock's key: "kpidaily" in ASCII.
const LOCK: i64 = 0x6b70_6964_6169_6c79;

/// Keeps the table up to date for as long as it is polled.
pub async fn keep(db: Db, clock: Clock) {
    loop {
        if let Err(error) = round(&db, &clock).await {
            tracing::debug!(error = %error, "the daily KPIs are brought up to date at the next try");
        }
        tokio::time::sleep(REST).await;
    }
}

/// Counts for as many tenants as are noted when it begins. What is noted meanwhile waits for the next round: else tenants with
/// changes all the time would be counted without a rest.
///
/// # Errors
/// 503 where the database is away.
pub async fn round(db: &Db, clock: &Clock) -> Result<()> {
    let waiting = sqlx::query_scalar!(r#"select count(distinct tenant_id) as "waiting!" from kpi_changes"#);
    let mut tx = db.begin_system().await?;
    let mut waiting = waiting.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    loop {
        let started = std::time::Instant::now();
        let Step { counted, more } = step(db, clock.now()).await?;
        waiting -= counted;
        if !more || waiting <= 0 {
            return Ok(());
        }
        tokio::time::sleep(started.elapsed() * PAUSE_FACTOR).await;
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Step {
    /// Tenants whose noted days are all counted.
    counted: i64,
    /// Whether something may be left.
    pub more: bool,
}

/// Brings the table up to date, or further so where much was noted.
///
/// # Errors
/// 503 where the database is away.
pub async fn step(db: &Db, now: DateTime<Utc>) -> Result<Step> {
    let mut tx = db.begin_system().await?;
    // Counting a large tenant's past may take longer than a request may. And plans are kept while the queue grows from
    // nothing to all tenants and back: the one that is best while it is empty is to read all of it.
    let lock = sqlx::query!(
        r#"select pg_try_advisory_xact_lock($1) as "held!", set_config('statement_timeout', '300s', true) as timeout,
                  set_config('enable_seqscan', 'off', true) as seqscan"#,
        LOCK,
    )
    .fetch_one(&mut *tx)
    .await?;
    if !lock.held {
        // Another process is at it.
        return Ok(Step::default());
    }
    note_new_prices(&mut tx).await?;
    note_new_days(&mut tx, now).await?;
    let noted = take(&mut tx, now).await?;
    let (mut counted, mut days) = (0, Vec::new());
    for tenant in &noted {
        let rest = tenant.since + Days::new(DAYS);
        days.extend(tenant.days().take_while(|day| day.date < rest));
        if rest <= tenant.today {
            note(&mut tx, tenant.tenant_id, rest).await?;
        } else {
            counted += 1;
        }
    }
    let full = i64::try_from(noted.len()).is_ok_and(|tenants| tenants >= TENANTS);
    let more = full || usize::try_from(counted) != Ok(noted.len());
    for chunk in days.chunks(CHUNK) {
        count(&mut tx, chunk).await?;
    }
    tx.commit().await?;
    Ok(Step { counted, more })
}

/// A tenant whose days from `since` to `today` are to be counted.
struct Noted {
    tenant_id: Uuid,
    since: NaiveDate,
    today: NaiveDate,
}

/// One of them.
struct Day {
    tenant_id: Uuid,
    date: NaiveDate,
    is_today: bool,
}

impl Noted {
    fn days(&self) -> impl Iterator<Item = Day> {
        let Self { tenant_id, today, .. } = *self;
        let days = self.since.iter_days().take_while(move |day| *day <= today);
        days.map(move |day| Day { tenant_id, date: day, is_today: day == today })
    }
}

/// Notes the tenants that activated a plan whose price has become known. Not the consumer's to do: it would miss those
/// whose activation another consumer is writing at the time.
///
/// A price concerns what was activated while it is in force, the earliest one also what was activated before: who subscribed
/// at another price is not counted again, nor read: each price is looked up for itself, as all plans' activations joined with
/// all prices of a plan would be millions of rows.
async fn note_new_prices(tx: &mut Tx) -> Result<()> {
    let priced = sqlx::query_scalar!("update plan_prices set counted = true where not counted returning id")
        .fetch_all(&mut **tx)
        .await?;
    if priced.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into kpi_changes (tenant_id, since)
         select e.tenant_id, e.since
         from plan_prices p
         cross join lateral (
             select case when exists (select from plan_prices o
                                      where o.plan_code = p.plan_code and o.effective_at < p.effective_at)
                         then p.effective_at else '-infinity' end as since,
                    coalesce((select min(o.effective_at) from plan_prices o
                              where o.plan_code = p.plan_code and o.effective_at > p.effective_at), 'infinity') as until
             offset 0
         ) in_force
         cross join lateral (
             select tenant_id, min(occurred_at) as since from subscription_events
             where plan_code = p.plan_code and kind = 'ACTIVATED' and mrr_usd is null
               and occurred_at >= in_force.since and occurred_at < in_force.until
             group by tenant_id
         ) e
         where p.id = any($1)",
        &priced,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes the tenants whose next day has begun; they are open again once that is counted.
async fn note_new_days(tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
    // Those in UTC are found by the index on the day, the few others one by one.
    sqlx::query!(
        "with in_utc as (
             delete from kpi_open o
             where o.day < ($1 at time zone 'UTC')::date
               and not exists (select from tenant_settings s where s.tenant_id = o.tenant_id)
             returning o.tenant_id, o.day
         ),
         elsewhere as (
             delete from kpi_open o using tenant_settings s
             where s.tenant_id = o.tenant_id and o.day < ($1 at time zone s.time_zone)::date
             returning o.tenant_id, o.day
         )
         insert into kpi_changes (tenant_id, since)
         select o.tenant_id, (o.day + 1)::timestamp at time zone time_zone_of(o.tenant_id)
         from (select * from in_utc union all select * from elsewhere) o",
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes up to [`TENANTS`] tenants' notes. One of a day to come, by a clock that was ahead, stays until then.
async fn take(tx: &mut Tx, now: DateTime<Utc>) -> Result<Vec<Noted>> {
    let noted = sqlx::query_as!(
        Noted,
        r#"with taken as (
               delete from kpi_changes
               where tenant_id in (
                       select distinct tenant_id from kpi_changes
                       where since <= $2 or local_day(tenant_id, since) <= local_day(tenant_id, $2)
                       limit $1
                   )
                 and (since <= $2 or local_day(tenant_id, since) <= local_day(tenant_id, $2))
               returning tenant_id, since
           )
           select t.tenant_id as "tenant_id!", t.today as "today!",
                  greatest(least(local_day(t.tenant_id, t.since), t.today), t.today - $3::int) as "since!"
           from (
               select tenant_id, min(since) as since, local_day(tenant_id, $2) as today from taken group by tenant_id
           ) t"#,
        TENANTS,
        now,
        HISTORY_DAYS,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(noted)
}

async fn note(tx: &mut Tx, tenant_id: Uuid, since: NaiveDate) -> Result<()> {
    sqlx::query!(
        "insert into kpi_changes (tenant_id, since) values ($1, $2::date::timestamp at time zone time_zone_of($1))",
        tenant_id,
        since,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Counts `days`. A tenant that has a row for today is open; one that has none gets no further rows until it changes. Today
/// is kept in `kpi_now` besides, with what the tenant's AI runs come to.
async fn count(tx: &mut Tx, days: &[Day]) -> Result<()> {
    sqlx::query!(
        "with counted as materialized (
             select d.tenant_id, d.day, d.is_today, kpi.*,
                    kpi.mau > 0 or kpi.mrr_usd > 0 or kpi.churn_risk_score > 0 as counts
             from unnest($1::uuid[], $2::date[], $3::bool[]) d(tenant_id, day, is_today)
             cross join lateral kpi_on(d.tenant_id, d.day) kpi
         ),
         forgotten as (
             delete from kpi_now n using counted c where n.tenant_id = c.tenant_id and c.is_today and not c.counts
         ),
         remembered as (
             insert into kpi_now (tenant_id, day, dau, wau, mau, mrr_usd, churn_risk_score, ai_runs, ai_cost_usd)
             select c.tenant_id, c.day, c.dau, c.wau, c.mau, c.mrr_usd, c.churn_risk_score, ai.runs, ai.cost_usd
             from counted c
             cross join lateral (
                 select coalesce(sum(total_runs), 0)::bigint as runs, coalesce(sum(total_cost_usd), 0) as cost_usd
                 from ai_usage_analytics a where a.tenant_id = c.tenant_id
             ) ai
             where c.is_today and c.counts
             on conflict on constraint kpi_now_pkey do update
             set day = excluded.day, dau = excluded.dau, wau = excluded.wau, mau = excluded.mau,
                 mrr_usd = excluded.mrr_usd, churn_risk_score = excluded.churn_risk_score,
                 ai_runs = excluded.ai_runs, ai_cost_usd = excluded.ai_cost_usd
         ),
         emptied as (
             delete from kpi_daily k using counted c
             where k.day = c.day and k.tenant_id = c.tenant_id and not c.counts
         ),
         closed as (
             delete from kpi_open o using counted c where o.tenant_id = c.tenant_id and c.is_today and not c.counts
         ),
         opened as (
             insert into kpi_open (tenant_id, day) select tenant_id, day from counted where is_today and counts
             on conflict on constraint kpi_open_pkey do update set day = excluded.day
         )
         insert into kpi_daily (day, tenant_id, dau, wau, mau, mrr_usd, churn_risk_score)
         select day, tenant_id, dau, wau, mau, mrr_usd, churn_risk_score from counted where counts
         on conflict on constraint kpi_daily_pkey do update
         set dau = excluded.dau, wau = excluded.wau, mau = excluded.mau, mrr_usd = excluded.mrr_usd,
             churn_risk_score = excluded.churn_risk_score",
        &days.iter().map(|day| day.tenant_id).collect::<Vec<_>>(),
        &days.iter().map(|day| day.date).collect::<Vec<_>>(),
        &days.iter().map(|day| day.is_today).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
