//! The relay: takes committed events from the outbox to their topics, in order per key.
//!
//! One relay at a time owns a service's outbox, by a session advisory lock that its database connection holds. It reads
//! and deletes over that same connection, so that a relay that lost the lock can do neither. A record is deleted once the
//! broker has acknowledged it; after a crash in between it is published again, and consumers drop it by its `event_id`.
//!
//! After any failure the producer is given up as a whole and the outbox is read again from its first row: a record never
//! overtakes an earlier one of its key.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use sqlx::PgConnection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    correlation::TRACEPARENT,
    db::Db,
    kafka::{Kafka, LazyProducer},
    metrics,
    trace::{Role, Tracer},
};

/// Records read and published at a time.
const BATCH: i64 = 500;
/// How long the broker may take to acknowledge a batch.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);
/// The time from one batch to the next where the outbox was emptied: a batch costs much the same whether it has one event or
/// a hundred, so under load events go together that would else go one by one.
const SPACING: Duration = Duration::from_millis(20);
/// How long to wait without a wake-up before looking again; a commit of another replica wakes nobody here.
const POLL: Duration = Duration::from_millis(500);
/// A producer without work is given up after so long, because its thread costs half a percent of a core.
const IDLE: Duration = Duration::from_secs(5);
/// How long to wait after a failure.
const BACKOFF: Duration = Duration::from_millis(500);
/// How long the events of a topic that cannot be made wait until it is tried again.
const HELD: Duration = Duration::from_secs(10);
/// The advisory lock's key: "outbox" in ASCII.
const LOCK: i64 = 0x6f75_7462_6f78;

/// Publishes a service's outbox.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) service: &'static str,
    pub(crate) db: Db,
    pub(crate) kafka: Kafka,
    pub(crate) tracer: Tracer,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    seq: i64,
    topic: String,
    key: String,
    headers: sqlx::types::Json<HashMap<String, String>>,
    value: String,
    created_at: DateTime<Utc>,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Outcome {
    published: Vec<i64>,
    refused: Vec<(i64, String)>,
    failure: Option<anyhow::Error>,
}

/// What a step found in the outbox.
enum Found {
    Nothing,
    /// Less than a batch.
    Few,
    /// Perhaps more than was taken.
    Many,
}

/// What the owner of the outbox holds and knows.
struct Tenure {
    connection: PgConnection,
    producer: LazyProducer,
    /// Topics that are there.
    known: HashSet<String>,
    /// Topics that cannot be made, and until when their events wait; those of other topics go on meanwhile.
    held: HashMap<String, Instant>,
    /// How many rows are to be published one by one: a broker refuses a whole batch of records for one of them.
    careful: usize,
}

impl Relay {
    /// Publishes until `shutdown`, then what is still there.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut reported = false;
        while !shutdown.is_cancelled() {
            match self.own(&shutdown).await {
                Ok(()) => reported = false,
                Err(error) if reported => tracing::debug!(error = format!("{error:#}"), "the relay still waits"),
                Err(error) => {
                    reported = true;
                    tracing::warn!(
                        service = self.service,
                        error = format!("{error:#}"),
                        "events wait in the outbox until database and broker are back"
                    );
                }
            }
            pause(BACKOFF, &shutdown).await;
        }
    }

    /// Owns the outbox for as long as nothing fails.
    async fn own(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let mut connection = self.db.connect().await?;
        let owned: bool =
            sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
        if !owned {
            return Ok(());
        }
        // A plan is kept while the outbox grows from nothing to a million rows and back. The one that is best while it is
        // empty, to read all of it and sort, is the worst at all other times.
        // A deletion need not outlast a crash: the event is then published again and dropped by the inbox.
        sqlx::raw_sql("set enable_seqscan = off; set enable_sort = off; set synchronous_commit = off")
            .execute(&mut connection)
            .await?;
        let mut tenure = Tenure {
            connection,
            producer: LazyProducer::default(),
            known: HashSet::new(),
            held: HashMap::new(),
            careful: 0,
        };
        let mut worked = Instant::now();
        loop {
            let began = Instant::now();
            match self.step(&mut tenure).await? {
                Found::Many => worked = began,
                Found::Few => {
                    worked = began;
                    pause(SPACING.saturating_sub(began.elapsed()), shutdown).await;
                }
                Found::Nothing if shutdown.is_cancelled() => return Ok(()),
                Found::Nothing => {
                    if worked.elapsed() > IDLE {
                        tenure.producer = LazyProducer::default();
                    }
                    tokio::select! {
                        () = self.db.committed() => {}
                        () = tokio::time::sleep(POLL) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Publishes one batch, if there is one.
    async fn step(&self, tenure: &mut Tenure) -> anyhow::Result<Found> {
        let now = Instant::now();
        tenure.held.retain(|_, until| *until > now);
        let held: Vec<&str> = tenure.held.keys().map(String::as_str).collect();
        let rows: Vec<Row> = sqlx::query_as(
            "select seq, topic, key, headers, value, created_at from outbox
             where parked_at is null and topic <> all($2) order by seq limit $1",
        )
        .bind(if tenure.careful == 0 { BATCH } else { 1 })
        .bind(held)
        .fetch_all(&mut tenure.connection)
        .await?;
        if rows.is_empty() {
            return Ok(Found::Nothing);
        }
        let nameless = rows.iter().filter(|row| !is_topic_name(&row.topic));
        let nameless: Vec<_> = nameless.map(|row| (row.seq, format!("{:?} cannot name a topic", row.topic))).collect();
        if !nameless.is_empty() {
            self.park(&mut tenure.connection, &nameless).await?;
            return Ok(Found::Many);
        }
        if !self.prepare(tenure, &rows).await? {
            return Ok(Found::Many);
        }
        let producer = tenure.producer.get(&self.kafka)?;
        let outcome = send(producer, &self.tracer, &rows).await;
        sqlx::query("delete from outbox where seq = any($1)")
            .bind(&outcome.published)
            .execute(&mut tenure.connection)
            .await?;
        metrics::relayed(self.service, outcome.published.len(), now.elapsed());
        tenure.careful = tenure.careful.saturating_sub(1);
        if !outcome.refused.is_empty() {
            // A producer that was refused a record may take nothing more.
            tenure.producer = LazyProducer::default();
            if rows.len() == 1 {
                self.park(&mut tenure.connection, &outcome.refused).await?;
            } else {
                tenure.careful = rows.len();
            }
        }
        match outcome.failure {
            Some(error) => Err(error.context("the broker did not take the events")),
            None if tenure.careful > 0 || i64::try_from(rows.len()) == Ok(BATCH) => Ok(Found::Many),
            None => Ok(Found::Few),
        }
    }

    /// Sees to it that the topics of `rows` are there; false where one cannot be made, whose rows are then held.
    async fn prepare(&self, tenure: &mut Tenure, rows: &[Row]) -> anyhow::Result<bool> {
        let topics: BTreeSet<&str> = rows.iter().map(|row| row.topic.as_str()).collect();
        let unknown: Vec<String> =
            topics.into_iter().filter(|topic| !tenure.known.contains(*topic)).map(str::to_owned).collect();
        if unknown.is_empty() {
            return Ok(true);
        }
        let refused = self.kafka.make_topics(&unknown).await?;
        tenure.known.extend(unknown.into_iter().filter(|topic| !refused.iter().any(|(name, _)| name == topic)));
        for (topic, code) in &refused {
            tracing::error!(
                service = self.service,
                kafka.topic = topic,
                error = %code,
                "the topic does not exist and cannot be made; its events wait in the outbox: make it by hand or allow this service to"
            );
            tenure.held.insert(topic.clone(), Instant::now() + HELD);
        }
        Ok(refused.is_empty())
    }

    /// Sets rows aside that the broker refuses for good.
    async fn park(&self, connection: &mut PgConnection, refused: &[(i64, String)]) -> anyhow::Result<()> {
        for (seq, error) in refused {
            sqlx::query("update outbox set parked_at = now(), last_error = $2 where seq = $1")
                .bind(seq)
                .bind(error)
                .execute(&mut *connection)
                .await?;
            metrics::parked(self.service);
            tracing::error!(
                service = self.service,
                outbox.seq = seq,
                error = error,
                "the broker refuses an event for good; it is parked in the outbox: see careeros-ops outbox parked"
            );
        }
        Ok(())
    }
}

/// Whether Kafka allows a topic of this name.
fn is_topic_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && name.chars().all(allowed) && name != "." && name != ".."
}

/// Hands all rows to the producer in order, then waits for every acknowledgement.
async fn send(producer: &FutureProducer, tracer: &Tracer, rows: &[Row]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut deliveries = Vec::with_capacity(rows.len());
    for row in rows {
        // It begins with the change, so that it shows how long the event has waited.
        let parent = row.headers.get(TRACEPARENT.as_str()).map(String::as_str);
        let mut span =
            tracer.start_at(Role::Producer, format!("send {}", row.topic), parent, Some(row.created_at.into()));
        span.set("messaging.system", "kafka");
        span.set("messaging.destination.name", row.topic.clone());
        let traceparent = span.traceparent();
        let headers = row.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            let value = traceparent.as_ref().filter(|_| key == TRACEPARENT.as_str()).unwrap_or(value);
            headers.insert(Header { key, value: Some(value) })
        });
        let record = FutureRecord::to(&row.topic).key(&row.key).payload(&row.value).headers(headers);
        match producer.send_result(record) {
            Ok(delivery) => deliveries.push((row, delivery, span)),
            // A later record of the same key must not overtake this one, so the batch ends here.
            Err((error, _)) => {
                outcome.fail(row, error);
                break;
            }
        }
    }
    let deadline = Instant::now() + ACKNOWLEDGED;
    for (row, delivery, _span) in deliveries {
        match tokio::time::timeout_at(deadline, delivery).await {
            Ok(Ok(Ok(_))) => outcome.published.push(row.seq),
            Ok(Ok(Err((error, _)))) => outcome.fail(row, error),
            Ok(Err(_)) => outcome.fail(row, KafkaError::Canceled),
            Err(_) => outcome.failure = Some(anyhow::anyhow!("no acknowledgement within {ACKNOWLEDGED:?}")),
        }
    }
    outcome
}

impl Outcome {
    fn fail(&mut self, row: &Row, error: KafkaError) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let size = row.value.len();
                self.refused.push((row.seq, format!("the record of {size} bytes is larger than the broker allows")));
            }
            Some(
                RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidTopic,
            ) => self.refused.push((row.seq, error.to_string())),
            // What follows a refused record fails with the producer.
            _ if !self.refused.is_empty() => {}
            _ => self.failure = Some(anyhow::Error::new(error).context(format!("topic {}", row.topic))),
        }
    }
}

/// Waits for `time`, or less where `shutdown` comes.
pub(crate) async fn pause(time: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = shutdown.cancelled() => {}
    }
}
