//! Dead letters: records that a consumer group cannot apply, kept on `<topic>.dlq` with their origin and error.

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use rdkafka::{
    Message,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};

use crate::{
    error::Error,
    kafka::{Kafka, LazyProducer},
};

/// What is appended to a topic's name.
pub const SUFFIX: &str = ".dlq";
/// What the names of all our headers begin with.
pub const PREFIX: &str = "dlq.";
/// Where the record was read: its topic.
pub const TOPIC: &str = "dlq.topic";
/// Where the record was read: its partition.
pub const PARTITION: &str = "dlq.partition";
/// Where the record was read: its offset.
pub const OFFSET: &str = "dlq.offset";
/// The consumer group that could not apply it.
pub const GROUP: &str = "dlq.group";
/// Why.
pub const ERROR: &str = "dlq.error";
/// There, and `value`, where the record with these headers is too large for the broker: its value is then only at its
/// origin.
pub const OMITTED: &str = "dlq.omitted";

/// How long the broker may take to acknowledge a record.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// Characters of an error that are kept.
const ERROR_MAX: usize = 1000;

/// Writes a consumer group's dead letters.
pub(crate) struct DeadLetters {
    group: &'static str,
    kafka: Kafka,
    producer: LazyProducer,
    made: HashSet<String>,
}

impl DeadLetters {
    pub(crate) fn new(group: &'static str, kafka: Kafka) -> Self {
        Self { group, kafka, producer: LazyProducer::default(), made: HashSet::new() }
    }

    /// Writes `message` to its dead-letter topic, once.
    pub(crate) async fn bury(&mut self, message: &OwnedMessage, error: &Error) -> anyhow::Result<()> {
        let buried = self.try_bury(message, error).await;
        if buried.is_err() {
            // After a failure that could leave a gap an idempotent producer takes nothing more.
            self.producer = LazyProducer::default();
        }
        buried
    }

    async fn try_bury(&mut self, message: &OwnedMessage, error: &Error) -> anyhow::Result<()> {
        let topic = format!("{}{SUFFIX}", message.topic());
        if !self.made.contains(&topic) {
            // It may exist although this service is not allowed to make it.
            match self.kafka.ensure_topics(std::slice::from_ref(&topic)).await {
                Ok(()) => _ = self.made.insert(topic.clone()),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), kafka.topic = topic, "the topic could not be made");
                }
            }
        }
        let producer = self.producer.get(&self.kafka)?;
        let headers = headers(message, self.group, error);
        match send(producer, &topic, message, message.payload(), headers.clone()).await? {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let headers = headers.insert(Header { key: OMITTED, value: Some("value") });
                send(producer, &topic, message, None, headers).await?
            }
            sent => sent,
        }
        .context("the dead-letter topic does not take the record")
    }
}

/// The outer error where nothing is heard in time, the inner where the record is refused.
async fn send(
    producer: &FutureProducer,
    topic: &str,
    message: &OwnedMessage,
    value: Option<&[u8]>,
    headers: OwnedHeaders,
) -> anyhow::Result<Result<(), KafkaError>> {
    let record = FutureRecord {
        topic,
        partition: None,
        payload: value,
        key: message.key(),
        timestamp: None,
        headers: Some(headers),
    };
    let sent = tokio::time::timeout(ACKNOWLEDGED, producer.send(record, ACKNOWLEDGED)).await;
    let sent = sent.context("the broker does not acknowledge the record")?;
    Ok(sent.map(drop).map_err(|(error, _)| error))
}

/// The record's own headers, then its origin and error; those of an earlier burial go.
fn headers(message: &OwnedMessage, group: &str, error: &Error) -> OwnedHeaders {
    let own = message.headers().into_iter().flat_map(Headers::iter).filter(|header| !header.key.starts_with(PREFIX));
    let headers = own.fold(OwnedHeaders::new(), OwnedHeaders::insert);
    let (partition, offset) = (message.partition().to_string(), message.offset().to_string());
    let error: String = error.to_string().chars().take(ERROR_MAX).collect();
    [(TOPIC, message.topic()), (PARTITION, &partition), (OFFSET, &offset), (GROUP, group), (ERROR, &error)]
        .into_iter()
        .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
