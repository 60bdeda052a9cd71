//! The relay: takes committed events from the outbox to their topics, in order per key.
//!
//! One relay at a time owns a service's outbox, by a session advisory lock that its database connection holds. It reads
//! and deletes over that same connection, so that a relay that lost the lock can do neither. A record is deleted once the
//! broker has acknowledged it; after a crash in between it is published again, and consumers drop it by its `event_id`.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use futures::future::join_all;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::{db::Db, kafka::Kafka};

/// Records read and published at a time.
const BATCH: i64 = 500;
/// How long to wait without a wake-up before looking again; a commit of another replica wakes nobody here.
const POLL: Duration = Duration::from_millis(500);
/// How long to wait after a failure.
const BACKOFF: Duration = Duration::from_millis(500);
/// The advisory lock's key: "outbox" in ASCII.
const LOCK: i64 = 0x6f75_7462_6f78;

/// Publishes a service's outbox.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) service: &'static str,
    pub(crate) db: Db,
    pub(crate) kafka: Kafka,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    seq: i64,
    topic: String,
    key: String,
    headers: sqlx::types::Json<HashMap<String, String>>,
    value: String,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Outcome {
    published: Vec<i64>,
    refused: Vec<(i64, String)>,
    failure: Option<KafkaError>,
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
        let mut connection = self.db.pool().acquire().await?.detach();
        let owned: bool =
            sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
        if !owned {
            return Ok(());
        }
        let producer = self.kafka.producer()?;
        loop {
            let moved = self.step(&mut connection, &producer).await?;
            if moved == 0 {
                if shutdown.is_cancelled() {
                    return Ok(());
                }
                tokio::select! {
                    () = self.db.committed() => {}
                    () = tokio::time::sleep(POLL) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
    }

    /// Publishes one batch; how many records left the outbox.
    async fn step(&self, connection: &mut PgConnection, producer: &FutureProducer) -> anyhow::Result<usize> {
        let rows: Vec<Row> = sqlx::query_as(
            "select seq, topic, key, headers, value from outbox where parked_at is null order by seq limit $1",
        )
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let outcome = send(producer, &rows).await;
        for (seq, error) in &outcome.refused {
            sqlx::query("update outbox set parked_at = now(), last_error = $2 where seq = $1")
                .bind(seq)
                .bind(error)
                .execute(&mut *connection)
                .await?;
            metrics::counter!("outbox_parked_total", "service" => self.service).increment(1);
            tracing::error!(
                service = self.service,
                outbox.seq = seq,
                error = error,
                "the broker refuses an event for good; it is parked in the outbox for an operator"
            );
        }
        sqlx::query("delete from outbox where seq = any($1)").bind(&outcome.published).execute(connection).await?;
        metrics::counter!("outbox_published_total", "service" => self.service)
            .increment(outcome.published.len() as u64);
        match outcome.failure {
            Some(error) => Err(error).context("the broker did not take the events"),
            None => Ok(outcome.published.len() + outcome.refused.len()),
        }
    }
}

/// Hands all rows to the producer in order, then waits for every acknowledgement.
async fn send(producer: &FutureProducer, rows: &[Row]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut deliveries = Vec::with_capacity(rows.len());
    for row in rows {
        let headers = row
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let record = FutureRecord::to(&row.topic).key(&row.key).payload(&row.value).headers(headers);
        match producer.send_result(record) {
            Ok(delivery) => deliveries.push((row.seq, delivery)),
            Err((error, _)) if is_permanent(&error) => outcome.refused.push((row.seq, error.to_string())),
            // A later record of the same key must not overtake this one, so the batch ends here.
            Err((error, _)) => {
                outcome.failure = Some(error);
                break;
            }
        }
    }
    let (seqs, deliveries): (Vec<_>, Vec<_>) = deliveries.into_iter().unzip();
    for (seq, delivery) in seqs.into_iter().zip(join_all(deliveries).await) {
        match delivery {
            Ok(Ok(_)) => outcome.published.push(seq),
            Ok(Err((error, _))) if is_permanent(&error) => outcome.refused.push((seq, error.to_string())),
            Ok(Err((error, _))) => outcome.failure = Some(error),
            Err(_) => outcome.failure = Some(KafkaError::Canceled),
        }
    }
    outcome
}

/// Whether the record itself is the reason, so that no retry can help.
fn is_permanent(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidTopic
        )
    )
}

/// Waits for `time`, or less where `shutdown` comes.
pub(crate) async fn pause(time: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = shutdown.cancelled() => {}
    }
}
