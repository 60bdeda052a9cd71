//! How fast the consumers apply a fixed number of events about users who are in the tables.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use careeros_shared::{clock::Clock, events::TOPICS, projection::Projection};
use chrono::TimeDelta;
use uuid::Uuid;

use super::population::Population;
use crate::{
    fleet::{Fleet, Service},
    generate::{Generator, Size},
    report::{Report, float},
};

/// Users that the events are about.
const USERS: usize = 10_000;
/// New courses that come with them.
const COURSES: usize = 20;
/// The events happen within so long, so that they change today's KPIs and not those of weeks.
const SPAN: TimeDelta = TimeDelta::minutes(5);
const POLL: Duration = Duration::from_millis(100);
/// How long a consumer may apply nothing before it is given up.
const STALLED: Duration = Duration::from_mins(2);

/// A consumer group.
struct Group {
    service: Service,
    database: &'static str,
    projection: Projection,
}

const GROUPS: [Group; 4] = [
    Group { service: Service::Analytics, database: "analytics", projection: careeros_analytics::events::PROJECTION },
    Group {
        service: Service::EduTracker,
        database: "edu_tracker",
        projection: careeros_edu_tracker::events::PROJECTION,
    },
    Group { service: Service::Billing, database: "billing", projection: careeros_billing::usage::PROJECTION },
    Group { service: Service::Roadmap, database: "roadmap", projection: careeros_roadmap::ai_updates::PROJECTION },
];

/// Fills the topics while nobody consumes and starts one consumer after the other; all of them run in the end.
pub(super) async fn measure(
    fleet: &mut Fleet,
    population: &Population,
    events: u64,
    report: &mut Report,
) -> Result<()> {
    for group in &GROUPS {
        fleet.stop(group.service).await?;
    }
    let users = users(fleet, population).await?;
    let size = Size { events, users: users.len(), tenants: 1, courses: COURSES };
    let generator = Generator::new(population.seed, size, Clock::system().now()).about(users, SPAN);
    fleet.kafka()?.ensure_topics(&TOPICS.map(str::to_owned)).await?;
    let generator = fleet.topics()?.fill(generator).await?;
    let expected = generator.expected();
    for group in &GROUPS {
        apply(fleet, group, expected.on(group.projection.topics), report).await?;
        if group.service == Service::Analytics {
            counted(fleet, report).await?;
        }
    }
    Ok(())
}

/// The ids and tenants of some users.
async fn users(fleet: &Fleet, population: &Population) -> Result<Vec<(Uuid, Uuid)>> {
    let numbers = population.draw(USERS, |_| false);
    let mut connection = fleet.connect("auth").await?;
    let query = sqlx::query_as("select bench.user_id(n), bench.tenant_id(n) from unnest($1::bigint[]) n");
    Ok(query.bind(numbers).fetch_all(&mut connection).await?)
}

/// Starts a group and measures until it has applied so many events.
async fn apply(fleet: &mut Fleet, group: &Group, events: u64, report: &mut Report) -> Result<()> {
    let Group { service, database, projection } = group;
    let mut connection = fleet.connect(database).await?;
    let started_at = Clock::system().now();
    fleet.launch(*service)?;
    let label = format!("group=\"{}\"", projection.group);
    let (mut known, mut since) = (0, Instant::now());
    while known < events {
        tokio::time::sleep(POLL).await;
        fleet.check_runs(*service)?;
        // It may not listen yet.
        let now = fleet.metric(*service, "consumer_events_applied_total", &label).await.unwrap_or(known);
        if now > known {
            (known, since) = (now, Instant::now());
        }
        let said = || format!("{known} of {events} events, then none: {}", fleet.said(*service));
        ensure!(since.elapsed() < STALLED, "{} has applied {}", service.name(), said());
    }
    // From the begin of the first transaction to that of the last, as in `events`. Of what the tables were filled with, some
    // is of days to come.
    let (applied, rate): (i64, Option<f64>) = sqlx::query_as(
        "with batches as (
             select applied_at, count(*) as events from inbox
             where consumer_group = $1 and applied_at between $2 and now() group by applied_at
         )
         select coalesce(sum(events), 0)::bigint,
                ((sum(events) - (select events from batches order by applied_at desc limit 1))
                 / nullif(extract(epoch from max(applied_at) - min(applied_at)), 0))::float8
         from batches",
    )
    .bind(projection.group)
    .bind(started_at)
    .fetch_one(&mut connection)
    .await?;
    if let Some(rate) = rate {
        report.figure(format!("consumer: {}", service.name()), rate, "events/s");
    }
    // A few more may have been under way when the consumer was stopped.
    let found = applied.unsigned_abs().min(events);
    report.check(format!("{}: events applied", service.name()), &events, &found);
    Ok(())
}

/// How long analytics' daily KPIs take after the last event.
async fn counted(fleet: &Fleet, report: &mut Report) -> Result<()> {
    let mut connection = fleet.connect("analytics").await?;
    let (started, mut more) = (Instant::now(), true);
    while more {
        ensure!(started.elapsed() < STALLED, "the daily KPIs do not come to an end");
        tokio::time::sleep(POLL).await;
        more = sqlx::query_scalar("select exists (select from kpi_changes)").fetch_one(&mut connection).await?;
    }
    let milliseconds = float(u64::try_from(started.elapsed().as_millis())?);
    report.figure("consumer: analytics, daily KPIs after the last event", milliseconds, "ms");
    Ok(())
}
