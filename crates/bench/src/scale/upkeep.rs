//! What the services do by themselves: looking for what has expired or ended, and beginning a day.
//!
//! It is run in this process by the services' own functions, on their databases and in their roles.

use std::time::Instant;

use anyhow::{Context as _, Result};
use careeros_shared::{clock::Clock, db::Db, outbox};
use chrono::TimeDelta;

use crate::{
    fleet::{Fleet, Service},
    report::Report,
    times::percentiles,
};

/// How often each is run where there is nothing to do; the median counts.
const TIMES: usize = 5;
/// Steps of a day's beginning that are measured after the first.
const STEPS: usize = 20;

/// Measures what it costs to look.
pub(super) async fn measure(fleet: &Fleet, report: &mut Report) -> Result<()> {
    let clock = Clock::system();
    let auth = fleet.db(Service::Auth)?;
    let billing = fleet.db(Service::Billing)?;
    let analytics = fleet.db(Service::Analytics)?;
    timed(report, "auth: old sessions and tokens", async || {
        careeros_auth::sessions::sweep(&auth, TimeDelta::days(30), clock.now()).await
    })
    .await?;
    timed(report, "auth: old failed logins", async || careeros_auth::throttle::sweep(&auth, clock.now()).await).await?;
    timed(report, "billing: subscriptions that have ended", async || {
        careeros_billing::subscriptions::end_due(&billing, clock.now()).await
    })
    .await?;
    timed(report, "billing: old executions", async || careeros_billing::usage::sweep(&billing, clock.now()).await)
        .await?;
    timed(report, "billing: old webhooks", async || careeros_billing::webhooks::sweep(&billing, clock.now()).await)
        .await?;
    timed(report, "any service: what waits in the outbox", async || outbox::backlog(&billing).await.map(drop)).await?;
    timed(report, "analytics: the platform's KPIs", async || {
        careeros_analytics::platform::measure(&analytics).await.map(drop)
    })
    .await?;
    // The paths before have left some.
    while careeros_analytics::daily::step(&analytics, clock.now()).await?.more {}
    timed(report, "analytics: days to count, none", async || {
        careeros_analytics::daily::step(&analytics, clock.now()).await.map(drop)
    })
    .await
}

/// Lets a day begin for all tenants at once, as midnight UTC does, and counts the first of them.
pub(super) async fn begin_day(fleet: &mut Fleet, report: &mut Report) -> Result<()> {
    fleet.stop(Service::Analytics).await?;
    let mut connection = fleet.connect("analytics").await?;
    sqlx::raw_sql("update kpi_open set day = day - 1; analyze kpi_open").execute(&mut connection).await?;
    let (db, clock): (Db, _) = (fleet.db(Service::Analytics)?, Clock::system());
    let started = Instant::now();
    let mut more = careeros_analytics::daily::step(&db, clock.now()).await.context("a day does not begin")?.more;
    report.figure("upkeep: analytics: a day begins for all tenants", started.elapsed().as_secs_f64() * 1e3, "ms");
    let mut steps = Vec::new();
    while more && steps.len() < STEPS {
        let started = Instant::now();
        more = careeros_analytics::daily::step(&db, clock.now()).await.context("days are not counted")?.more;
        steps.push(started.elapsed().as_secs_f64() * 1e3);
    }
    if let Some([median]) = percentiles(steps, [0.5]) {
        report.figure("upkeep: analytics: days of 200 tenants counted", median, "ms");
    }
    Ok(())
}

async fn timed(report: &mut Report, name: &str, work: impl AsyncFn() -> careeros_shared::Result<()>) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        work().await.with_context(|| name.to_owned())?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    if let Some([median]) = percentiles(times, [0.5]) {
        report.figure(format!("upkeep: {name}"), median, "ms");
    }
    Ok(())
}
