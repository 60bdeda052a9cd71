//! How fast a relay takes a full outbox to its topic: by the times that the producer gave the records.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use careeros_shared::events::{Envelope, Event as _, SkillsUpdated};
use chrono::DateTime;
use rdkafka::{Message as _, message::BorrowedMessage};
use serde_json::json;
use uuid::Uuid;

use crate::{
    fleet::{Fleet, Service},
    processor,
    report::{Report, rate},
    statements,
    topics::{Ends, Topics},
};

/// Nobody consumes it, so the relay is measured alone.
const TOPIC: &str = "careeros.bench.outbox.v1";
/// Aggregates that the rows are about.
const KEYS: i64 = 1000;
/// Stands in the record's template for the row's number.
const NUMBER: &str = "<number>";
const POLL: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_mins(5);

/// Fills the outbox of a service that is down, and starts it.
pub(crate) async fn measure(fleet: &mut Fleet, rows: i64, with_statements: bool, report: &mut Report) -> Result<()> {
    let service = Service::Profile;
    fleet.stop(service).await?;
    let mut connection = fleet.connect("user_profile").await?;
    sqlx::query(
        "insert into outbox (event_id, topic, key, headers, value)
         select gen_random_uuid(), $1, 'key-' || n % $2, $3, replace($4, $5, n::text) from generate_series(1, $6) n",
    )
    .bind(TOPIC)
    .bind(KEYS)
    .bind(json!({"event_type": SkillsUpdated::TYPE, "event_version": "1", "correlation_id": Uuid::nil()}))
    .bind(template()?)
    .bind(NUMBER)
    .bind(rows)
    .execute(&mut connection)
    .await?;
    if with_statements {
        statements::reset(&mut connection).await?;
    }
    let before = processor::now(&fleet.processes());
    fleet.run(&[service]).await?;
    let started = Instant::now();
    while fleet.metric(service, "outbox_published_total", "").await? < rows.unsigned_abs() {
        ensure!(started.elapsed() < PATIENCE, "the outbox is not empty after five minutes: {}", fleet.said(service));
        tokio::time::sleep(POLL).await;
    }
    let spent = processor::between(&before, processor::now(&fleet.processes()));
    if with_statements {
        statements::show(&mut connection, "relay", rows.unsigned_abs()).await?;
    }
    let read = Published::read(&fleet.topics()?).await?;
    report.figure("relay: published from a full outbox", rate(read.records - read.first, read.time), "rows/s");
    if !spent.is_empty() {
        let all = spent.into_iter().map(|(_, time)| time).sum();
        report.figure("relay: processor time of all", processor::each(all, read.records), "µs/row");
    }
    let left: i64 = sqlx::query_scalar("select count(*) from outbox").fetch_one(&mut connection).await?;
    report.check("relay: records on the topic", &rows, &read.records);
    report.check("relay: records out of their key's order", &0, &read.disordered);
    report.check("relay: rows left in the outbox", &0, &left);
    Ok(())
}

/// An envelope with [`NUMBER`] in it.
fn template() -> Result<String> {
    let event = SkillsUpdated { user_id: Uuid::nil(), skill_key: NUMBER.to_owned(), proficiency: 61.5 };
    let envelope = Envelope {
        event_id: Uuid::nil(),
        event_type: SkillsUpdated::TYPE.to_owned(),
        event_version: 1,
        occurred_at: DateTime::UNIX_EPOCH,
        source: SkillsUpdated::SOURCE.to_owned(),
        correlation_id: Some(Uuid::nil().to_string()),
        request_id: None,
        tenant_id: Uuid::nil().to_string(),
        user_id: Some(Uuid::nil().to_string()),
        payload: serde_json::to_value(event)?,
    };
    Ok(serde_json::to_string(&envelope)?)
}

/// What came onto the topic.
#[derive(Debug)]
struct Published {
    records: u64,
    /// Of these, those of the first millisecond.
    first: u64,
    /// From the first record to the last.
    time: Duration,
    /// Records that came after a later one of their key.
    disordered: u64,
}

/// What is needed to know it.
#[derive(Default)]
struct Seen {
    times: Vec<i64>,
    /// The largest number so far, by key.
    newest: HashMap<Vec<u8>, u64>,
    disordered: u64,
}

impl Published {
    async fn read(topics: &Topics) -> Result<Self> {
        let ends = topics.ends([TOPIC]).await?;
        let seen = topics.read((Ends::default(), ends), Seen::default(), Seen::add).await?;
        let (first, last) = (seen.times.iter().min(), seen.times.iter().max());
        let (first, last) = first.zip(last).context("the topic is empty")?;
        Ok(Self {
            records: seen.times.len() as u64,
            first: seen.times.iter().filter(|time| *time == first).count() as u64,
            time: Duration::from_millis((last - first).unsigned_abs().max(1)),
            disordered: seen.disordered,
        })
    }
}

impl Seen {
    fn add(&mut self, message: &BorrowedMessage<'_>) -> Result<()> {
        self.times.push(message.timestamp().to_millis().context("a record has no time")?);
        let envelope = Envelope::parse(message.payload().unwrap_or_default())?;
        let number: u64 = envelope.payload::<SkillsUpdated>()?.skill_key.parse()?;
        let newest = self.newest.entry(message.key().unwrap_or_default().to_owned()).or_default();
        self.disordered += u64::from(number <= *newest);
        *newest = number.max(*newest);
        Ok(())
    }
}
