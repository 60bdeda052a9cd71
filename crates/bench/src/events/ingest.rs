//! How fast a consumer group takes what is on its topics.
//!
//! The time is PostgreSQL's own: `inbox.applied_at` is the begin of the transaction that applied an event, so the events of
//! all transactions but the last were applied between the first and the last of these times. Nobody has to ask meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::PgConnection;

use super::group::Group;
use crate::{
    fleet::{self, Fleet, Service},
    generate::Expected,
    processor,
    report::{Report, float, rate},
    statements,
};

const POLL: Duration = Duration::from_millis(250);
/// How long a consumer may apply nothing before it is given up.
const STALLED: Duration = Duration::from_mins(1);

/// Starts the service and measures until it has applied all that is expected; it goes on running.
pub(super) async fn measure(
    fleet: &mut Fleet,
    group: &Group,
    expected: &Expected,
    with_statements: bool,
    report: &mut Report,
) -> Result<()> {
    let Group { service, projection, .. } = *group;
    let (name, events) = (service.name(), expected.on(projection.topics));
    let mut connection = fleet.connect(group.database).await?;
    if with_statements {
        statements::reset(&mut connection).await?;
    }
    let before = processor::now(&fleet.processes());
    fleet.launch(service)?;
    applied(fleet, service, projection.group, events).await?;
    let spent = processor::between(&before, processor::now(&fleet.processes()));
    let batches = Batches::read(&mut connection, projection.group).await?;
    if with_statements {
        statements::show(&mut connection, name, events).await?;
    }
    if let Some(rate) = batches.rate() {
        report.figure(format!("{name}: applied from full topics"), rate, "events/s");
    }
    report.figure(format!("{name}: events in a batch"), float(batches.events) / float(batches.count), "events");
    for (process, time) in spent {
        let part = if process == name { "the service" } else { process };
        if [name, fleet::POSTGRESQL, fleet::BROKER].contains(&process) {
            let each = processor::each(time, events);
            report.figure(format!("{name}: processor time of {part}"), each, "µs/event");
        }
    }
    report.check(format!("{name}: rows in the inbox"), &events, &batches.events);
    if service == Service::Analytics {
        kpis(&mut connection, report).await?;
    }
    group.check(&mut connection, expected, report).await
}

/// Waits until the service has applied so many events since it was started.
async fn applied(fleet: &mut Fleet, service: Service, group: &str, events: u64) -> Result<()> {
    let label = format!("group=\"{group}\"");
    let (mut known, mut since) = (0, Instant::now());
    while known < events {
        tokio::time::sleep(POLL).await;
        fleet.check_runs(service)?;
        // It may not listen yet.
        let now = fleet.metric(service, "consumer_events_applied_total", &label).await.unwrap_or(known);
        if now > known {
            (known, since) = (now, Instant::now());
        }
        let said = || format!("{known} of {events} events, then none for a minute: {}", fleet.said(service));
        ensure!(since.elapsed() < STALLED, "{} has applied {}", service.name(), said());
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    batches: i64,
    events: i64,
    last: i64,
    seconds: f64,
}

/// The transactions that applied a group's events.
struct Batches {
    count: u64,
    events: u64,
    /// Events of the last one.
    last: u64,
    /// From the begin of the first to the begin of the last.
    time: Duration,
}

impl Batches {
    async fn read(connection: &mut PgConnection, group: &str) -> Result<Self> {
        let row: Row = sqlx::query_as(
            "with batches as (
                 select applied_at, count(*) as events from inbox where consumer_group = $1 group by applied_at
             )
             select count(*) as batches, coalesce(sum(events), 0)::bigint as events,
                    coalesce((select events from batches order by applied_at desc limit 1), 0) as last,
                    coalesce(extract(epoch from max(applied_at) - min(applied_at)), 0)::float8 as seconds
             from batches",
        )
        .bind(group)
        .fetch_one(connection)
        .await?;
        Ok(Self {
            count: row.batches.unsigned_abs(),
            events: row.events.unsigned_abs(),
            last: row.last.unsigned_abs(),
            time: Duration::from_secs_f64(row.seconds),
        })
    }

    /// Events a second; none where one batch took all.
    fn rate(&self) -> Option<f64> {
        (!self.time.is_zero()).then(|| rate(self.events - self.last, self.time))
    }
}

/// Waits until analytics has counted its daily KPIs, which it does a little later.
async fn kpis(connection: &mut PgConnection, report: &mut Report) -> Result<()> {
    let started = Instant::now();
    let mut more = true;
    while more {
        ensure!(started.elapsed() < STALLED, "the daily KPIs do not come to an end");
        tokio::time::sleep(POLL).await;
        more = sqlx::query_scalar("select exists (select from kpi_changes)").fetch_one(&mut *connection).await?;
    }
    report.figure("analytics: daily KPIs counted after the last event", started.elapsed().as_secs_f64(), "s");
    Ok(())
}
