//! The consumer runner: batches, an inbox, bounded retries, a dead-letter topic.
//!
//! A batch is applied in one transaction together with its `event_id`s in the inbox; then the offsets are committed. A
//! batch that fails is applied record by record, and a record that keeps failing goes to `<topic>.dlq`, so that poison
//! never blocks its partition. While the database is away nothing is skipped: the batch waits.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use anyhow::Context as _;
use futures::FutureExt;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    db::{Db, Tx},
    error::{Error, Result},
    events::Envelope,
    kafka::Kafka,
    relay::pause,
};

/// Records applied in one transaction at the most.
const BATCH: usize = 1000;
/// How long a batch waits to fill after its first record.
const LINGER: Duration = Duration::from_millis(10);
/// Tries of a single record before it is dead.
const TRIES: u32 = 4;

/// Applies events to a service's tables.
pub trait Handler: Send + Sync + 'static {
    /// Applies `events`, none of which this consumer group has applied before, as part of `tx`.
    ///
    /// The result has to be a function of the set of events, ordered by `occurred_at`: different topics have no mutual
    /// order.
    ///
    /// # Errors
    /// Transient ones are retried for as long as it takes; all others lead to the dead-letter topic in the end.
    fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> impl Future<Output = Result<()>> + Send;
}

/// A consumer group of a service.
#[derive(Debug)]
pub struct Consumer<H> {
    /// The group, e.g. `analytics-global-v1`.
    pub group: &'static str,
    /// What it reads.
    pub topics: &'static [&'static str],
    /// What it does.
    pub handler: H,
}

pub(crate) struct Runner<H> {
    pub(crate) service: &'static str,
    pub(crate) consumer: Consumer<H>,
    pub(crate) db: Db,
    pub(crate) kafka: Kafka,
}

impl<H: Handler> Runner<H> {
    /// Consumes until `shutdown`; the batch under way is finished.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.consume(&shutdown).await {
                tracing::warn!(
                    service = self.service,
                    kafka.group = self.consumer.group,
                    error = format!("{error:#}"),
                    "the consumer starts again"
                );
            }
            pause(Duration::from_secs(1), &shutdown).await;
        }
    }

    async fn consume(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let stream: StreamConsumer = self.kafka.consumer(self.consumer.group).create()?;
        stream.subscribe(self.consumer.topics)?;
        let producer = self.kafka.producer()?;
        loop {
            let batch = tokio::select! {
                batch = fill(&stream) => batch,
                () = shutdown.cancelled() => break,
            };
            if self.process(&batch, &producer, shutdown).await.is_none() {
                break;
            }
            stream.commit(&next_offsets(&batch)?, CommitMode::Async)?;
        }
        // Wait for what the last commit asked for; without it the next owner would only read some records again.
        match stream.commit_consumer_state(CommitMode::Sync) {
            Ok(()) => Ok(()),
            Err(error) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::NoOffset) => Ok(()),
            Err(error) => Err(error).context("the last offsets could not be committed"),
        }
    }

    /// Applies or buries every record of `batch`; `None` where shutdown came first.
    async fn process(
        &self,
        batch: &[OwnedMessage],
        producer: &FutureProducer,
        shutdown: &CancellationToken,
    ) -> Option<()> {
        let mut good = Vec::with_capacity(batch.len());
        for message in batch {
            match Envelope::parse(message.payload().unwrap_or_default()) {
                Ok(envelope) => good.push((message, envelope)),
                Err(error) => self.bury(message, &error, producer, shutdown).await?,
            }
        }
        let envelopes: Vec<_> = good.iter().map(|(_, envelope)| envelope.clone()).collect();
        if self.apply_patiently(&envelopes, 1, shutdown).await?.is_ok() {
            return Some(());
        }
        for (message, envelope) in good {
            if let Err(error) = self.apply_patiently(&[envelope], TRIES, shutdown).await? {
                self.bury(message, &error, producer, shutdown).await?;
            }
        }
        Some(())
    }

    /// Applies `events`, up to `tries` times, and for as long as it takes where the failure is transient.
    async fn apply_patiently(
        &self,
        events: &[Envelope],
        tries: u32,
        shutdown: &CancellationToken,
    ) -> Option<Result<()>> {
        let mut failures = 0;
        let mut wait = Duration::from_millis(50);
        loop {
            let applied = AssertUnwindSafe(self.apply(events)).catch_unwind().await;
            let error = match applied {
                Ok(Ok(())) => return Some(Ok(())),
                Ok(Err(error)) => error,
                Err(_) => Error::internal(anyhow::anyhow!("the handler panicked")),
            };
            if error.is_transient() {
                tracing::warn!(service = self.service, kafka.group = self.consumer.group, error = %error,
                    "a batch waits until what it needs is back");
            } else {
                failures += 1;
                if failures >= tries {
                    return Some(Err(error));
                }
            }
            pause(wait, shutdown).await;
            if shutdown.is_cancelled() {
                return None;
            }
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    pub(crate) async fn apply(&self, events: &[Envelope]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin_system().await?;
        // In the order of their ids, so that two consumers in a rebalance cannot wait for each other.
        let ids: BTreeSet<Uuid> = events.iter().map(|event| event.event_id).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let fresh: Vec<Uuid> = sqlx::query_scalar(
            "insert into inbox (consumer_group, event_id) select $1, unnest($2::uuid[])
             on conflict on constraint inbox_pkey do nothing returning event_id",
        )
        .bind(self.consumer.group)
        .bind(&ids)
        .fetch_all(&mut *tx)
        .await?;
        let mut fresh: HashSet<Uuid> = fresh.into_iter().collect();
        let duplicates = events.len() - fresh.len();
        let new: Vec<Envelope> = events.iter().filter(|event| fresh.remove(&event.event_id)).cloned().collect();
        if !new.is_empty() {
            self.consumer.handler.apply(&mut tx, &new).await?;
        }
        tx.commit().await?;
        let labels = [("service", self.service), ("group", self.consumer.group)];
        metrics::counter!("consumer_events_applied_total", &labels).increment(new.len() as u64);
        metrics::counter!("consumer_events_duplicate_total", &labels).increment(duplicates as u64);
        Ok(())
    }

    /// Moves a record to its dead-letter topic, for as long as that takes.
    async fn bury(
        &self,
        message: &OwnedMessage,
        error: &Error,
        producer: &FutureProducer,
        shutdown: &CancellationToken,
    ) -> Option<()> {
        let topic = format!("{}.dlq", message.topic());
        tracing::error!(service = self.service, kafka.group = self.consumer.group, kafka.topic = message.topic(),
            kafka.partition = message.partition(), kafka.offset = message.offset(), error = %error,
            "a record goes to its dead-letter topic");
        if let Err(error) = self.kafka.ensure_topics(std::slice::from_ref(&topic)).await {
            tracing::warn!(error = format!("{error:#}"), kafka.topic = topic, "the topic could not be made");
        }
        while let Err((failure, _)) =
            producer.send(dead_letter(&topic, message, self.consumer.group, error), Duration::from_secs(5)).await
        {
            tracing::warn!(error = %failure, kafka.topic = topic, "the dead-letter topic does not take the record yet");
            pause(Duration::from_secs(1), shutdown).await;
            if shutdown.is_cancelled() {
                return None;
            }
        }
        metrics::counter!("consumer_events_dead_total", "service" => self.service, "group" => self.consumer.group)
            .increment(1);
        Some(())
    }
}

/// The record as it was, with its origin and error in the headers.
fn dead_letter<'a>(
    topic: &'a str,
    message: &'a OwnedMessage,
    group: &str,
    error: &Error,
) -> FutureRecord<'a, [u8], [u8]> {
    let mut headers = OwnedHeaders::new();
    if let Some(original) = message.headers() {
        for header in original.iter() {
            headers = headers.insert(header);
        }
    }
    let (partition, offset) = (message.partition().to_string(), message.offset().to_string());
    for (key, value) in [
        ("dlq.topic", message.topic()),
        ("dlq.partition", &partition),
        ("dlq.offset", &offset),
        ("dlq.group", group),
        ("dlq.error", &error.to_string()),
    ] {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    FutureRecord::to(topic)
        .key(message.key().unwrap_or_default())
        .payload(message.payload().unwrap_or_default())
        .headers(headers)
}

/// Waits for a record and takes those that follow closely.
async fn fill(stream: &StreamConsumer) -> Vec<OwnedMessage> {
    let mut batch = Vec::new();
    let mut deadline = None;
    while batch.len() < BATCH {
        let next = match deadline {
            None => stream.recv().await,
            Some(deadline) => match tokio::time::timeout_at(deadline, stream.recv()).await {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        match next {
            Ok(message) => {
                batch.push(message.detach());
                deadline.get_or_insert_with(|| tokio::time::Instant::now() + LINGER);
            }
            Err(error) => {
                // librdkafka reconnects by itself; a topic that does not exist yet is found by its metadata refresh.
                tracing::debug!(error = %error, "the consumer waits for the broker");
                if !batch.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    batch
}

fn next_offsets(batch: &[OwnedMessage]) -> anyhow::Result<TopicPartitionList> {
    let mut next: HashMap<(&str, i32), i64> = HashMap::new();
    for message in batch {
        let offset = next.entry((message.topic(), message.partition())).or_default();
        *offset = (*offset).max(message.offset() + 1);
    }
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in next {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}
