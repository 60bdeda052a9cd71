//! What is asked of the broker: topics, offsets, single records.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
    message::OwnedMessage,
    metadata::MetadataPartition,
    producer::FutureProducer,
};

use crate::log::Log;

/// How long the broker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The group in whose name topics are read. It never commits.
const READER: &str = "careeros-ops";

/// A partition and the offsets that it has records of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub number: i32,
    /// The offset of the first record that is still there.
    pub low: i64,
    /// The offset that the next record gets.
    pub high: i64,
}

/// The broker.
#[derive(Debug, Clone)]
pub struct Broker {
    config: ClientConfig,
}

impl Broker {
    /// Reached by `config`.
    pub fn new(config: ClientConfig) -> Self {
        Self { config }
    }

    /// All topics and the numbers of their partitions.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn topics(&self) -> Result<BTreeMap<String, Vec<i32>>> {
        self.ask(READER, |consumer| {
            let metadata = consumer.fetch_metadata(None, ANSWER)?;
            let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
            Ok(topics
                .map(|topic| (topic.name().to_owned(), topic.partitions().iter().map(MetadataPartition::id).collect()))
                .collect())
        })
        .await
    }

    /// The partitions of those of `topics` that exist, in order.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn partitions<T: AsRef<str>>(&self, topics: &[T]) -> Result<Vec<Partition>> {
        let existing = self.topics().await?;
        let mut wanted: Vec<(String, i32)> = Vec::new();
        for (topic, partitions) in &existing {
            if topics.iter().any(|wanted| wanted.as_ref() == topic) {
                wanted.extend(partitions.iter().map(|number| (topic.clone(), *number)));
            }
        }
        wanted.sort_unstable();
        self.ask(READER, move |consumer| {
            let ask = |(topic, number): (String, i32)| {
                let (low, high) = consumer.fetch_watermarks(&topic, number, ANSWER)?;
                Ok(Partition { topic, number, low, high })
            };
            wanted.into_iter().map(ask).collect()
        })
        .await
    }

    /// The offsets that `group` has committed for `partitions`, one for each.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn committed(&self, group: &str, partitions: &[Partition]) -> Result<Vec<Option<i64>>> {
        let partitions: Vec<_> = partitions.iter().map(|p| (p.topic.clone(), p.number)).collect();
        self.ask(group, move |consumer| {
            let mut asked = TopicPartitionList::new();
            for (topic, number) in &partitions {
                asked.add_partition(topic, *number);
            }
            let answer = consumer.committed_offsets(asked, ANSWER)?.to_topic_map();
            let committed = |partition| match answer.get(partition) {
                Some(Offset::Offset(offset)) => Some(*offset),
                _ => None,
            };
            Ok(partitions.iter().map(committed).collect())
        })
        .await
    }

    /// The record at an offset; none where the partition has no such offset (any more).
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn record(&self, topic: &str, partition: i32, offset: i64) -> Result<Option<OwnedMessage>> {
        let partitions = self.partitions(&[topic]).await?;
        let Some(mut found) = partitions.into_iter().find(|found| found.number == partition) else {
            return Ok(None);
        };
        if offset < found.low || offset >= found.high {
            return Ok(None);
        }
        (found.low, found.high) = (offset, offset + 1);
        let records = Log::open(self, &[found])?.batch().await?;
        Ok(records.into_iter().find(|record| record.offset() == offset))
    }

    /// A producer that acknowledges a record once all in-sync replicas have it.
    ///
    /// # Errors
    /// Where a setting is unusable.
    pub fn producer(&self) -> Result<FutureProducer> {
        self.config
            .clone()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "10000")
            .create()
            .context("the Kafka producer could not be made; check the KAFKA_* variables")
    }

    /// Settings of a consumer that reads what it is told to and commits nothing.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.config.clone();
        config
            .set("group.id", READER)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            // Records that expire while they are read must not be skipped silently.
            .set("auto.offset.reset", "error");
        config
    }

    /// Asks as `group`, on a thread where waiting is harmless.
    async fn ask<T: Send + 'static>(
        &self,
        group: &str,
        question: impl FnOnce(&BaseConsumer) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T> {
        let mut config = self.reader();
        config.set("group.id", group);
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            question(&consumer)
        });
        let brokers = self.config.get("bootstrap.servers").unwrap_or_default();
        asked.await?.with_context(|| {
            format!("the broker at {brokers} does not answer; is it up, and are the KAFKA_* variables right?")
        })
    }
}
