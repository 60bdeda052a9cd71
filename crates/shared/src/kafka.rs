//! The connection to Kafka: client settings, topics, the producer's promise.

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
    producer::{FutureProducer, Producer},
};
use secrecy::ExposeSecret;

use crate::config::Stores;

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Kafka {
    stores: Stores,
}

impl Kafka {
    /// With the settings of `stores`.
    pub fn new(stores: &Stores) -> Self {
        Self { stores: stores.clone() }
    }

    /// Settings that every client shares.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.stores.kafka_brokers)
            .set("client.id", &self.stores.kafka_client_id)
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            // Outages are reported by readiness and metrics; librdkafka's own lines would only repeat.
            .set("log.connection.close", "false");
        for (key, value) in &self.stores.kafka_security {
            config.set(*key, value.expose_secret());
        }
        config
    }

    /// A producer that acknowledges a record once all in-sync replicas have it, writes it once, and keeps the order of a
    /// partition even where a record fails (`enable.gapless.guarantee`: the producer then fails as a whole).
    pub(crate) fn producer(&self) -> anyhow::Result<FutureProducer> {
        self.client()
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("compression.type", "gzip")
            .set("message.timeout.ms", "10000")
            .create()
            .context("the Kafka producer could not be made; check the KAFKA_* variables")
    }

    /// Settings of a consumer of `group`: no auto-commit, from the beginning, cooperative rebalances.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// Makes those of `topics` that do not exist.
    ///
    /// # Errors
    /// Where the broker cannot be reached or refuses.
    pub async fn ensure_topics(&self, topics: &[String]) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let existing = self.existing_topics().await?;
        let missing: Vec<_> = topics.iter().filter(|topic| !existing.contains(*topic)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (partitions, replicas) = (self.stores.kafka_topic_partitions, self.stores.kafka_topic_replication);
        let new: Vec<_> =
            missing.iter().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas))).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        for result in admin.create_topics(&new, &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => anyhow::bail!("the topic {topic} could not be made: {code}"),
            }
        }
        Ok(())
    }

    async fn existing_topics(&self) -> anyhow::Result<HashSet<String>> {
        let client: FutureProducer = self.client().create()?;
        let metadata =
            tokio::task::spawn_blocking(move || client.client().fetch_metadata(None, Duration::from_secs(5)));
        let metadata = metadata.await?.context("the broker did not answer")?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }
}

/// Whether the broker answers on a connection that is kept.
#[derive(Clone)]
pub(crate) struct Probe(FutureProducer);

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

impl Probe {
    pub(crate) fn new(kafka: &Kafka) -> anyhow::Result<Self> {
        Ok(Self(kafka.client().create()?))
    }

    pub(crate) async fn check(&self) -> Result<(), String> {
        let producer = self.0.clone();
        let asked = tokio::task::spawn_blocking(move || {
            producer.client().fetch_metadata(Some(crate::events::TOPICS[0]), Duration::from_secs(1)).map(|_| ())
        });
        match asked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the broker does not answer: {error}; check KAFKA_BROKERS")),
            Err(error) => Err(error.to_string()),
        }
    }
}
