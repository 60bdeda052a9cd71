//! The connection to Kafka: client settings, topics, the producer's promise.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use rdkafka::{
    ClientConfig, ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, DeliveryResult, FutureProducer, Producer, ProducerContext},
};
use secrecy::ExposeSecret;

use crate::config::Stores;

pub(crate) mod security;

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
    pub fn client(&self) -> ClientConfig {
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
    ///
    /// It never gives a single record up, since later ones could then overtake it: whoever waits too long for an
    /// acknowledgement drops the producer.
    ///
    /// # Errors
    /// Where a setting is unusable.
    pub fn producer(&self) -> anyhow::Result<FutureProducer> {
        self.client()
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("compression.type", "lz4")
            .set("message.timeout.ms", "0")
            .create()
            .context("the Kafka producer could not be made; check the KAFKA_* variables")
    }

    /// Settings of a consumer of `group`: no auto-commit, from the beginning.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            // Every rebalance begins at the committed offsets. Under cooperative-sticky, librdkafka 2.12 has been seen to skip
            // what it had fetched for a partition that came back to it, which would be lost.
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            // New partitions and topics are found by it.
            .set("topic.metadata.refresh.interval.ms", "10000")
            // A group's memory: what is fetched ahead of the batch under way.
            .set("queued.max.messages.kbytes", "16384")
            .set("statistics.interval.ms", "15000")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// Makes those of `topics` that do not exist.
    ///
    /// # Errors
    /// Where the broker cannot be reached or refuses.
    pub async fn ensure_topics(&self, topics: &[String]) -> anyhow::Result<()> {
        match self.make_topics(topics).await?.first() {
            None => Ok(()),
            Some((topic, code)) => anyhow::bail!("the topic {topic} could not be made: {code}"),
        }
    }

    /// Makes those of `topics` that do not exist; which of them the broker refuses to make, and why.
    ///
    /// # Errors
    /// Where the broker cannot be reached.
    pub(crate) async fn make_topics(&self, topics: &[String]) -> anyhow::Result<Vec<(String, RDKafkaErrorCode)>> {
        let existing = self.existing_topics().await?;
        let missing: Vec<_> = topics.iter().filter(|topic| !existing.contains(*topic)).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let (partitions, replicas) = (self.stores.kafka_topic_partitions, self.stores.kafka_topic_replication);
        // Projections are rebuilt from the topic's beginning, so records are kept.
        let topic = |name| NewTopic::new(name, partitions, TopicReplication::Fixed(replicas)).set("retention.ms", "-1");
        let new: Vec<_> = missing.into_iter().map(|name| topic(name)).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        let made = admin.create_topics(&new, &options).await?;
        let refused = made.into_iter().filter_map(Result::err);
        Ok(refused.filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists).collect())
    }

    async fn existing_topics(&self) -> anyhow::Result<HashSet<String>> {
        let client: BaseProducer = self.client().create()?;
        let metadata =
            tokio::task::spawn_blocking(move || client.client().fetch_metadata(None, Duration::from_secs(5)));
        let metadata = metadata.await?.context("the broker did not answer")?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }
}

/// Whether the broker answers on a connection that is kept.
#[derive(Clone)]
pub(crate) struct Probe(Arc<BaseProducer<LastFailure>>);

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

impl Probe {
    pub(crate) fn new(kafka: &Kafka) -> anyhow::Result<Self> {
        let client = kafka.client().create_with_context(LastFailure::default());
        Ok(Self(Arc::new(client.context("the Kafka client could not be made; check the KAFKA_* variables")?)))
    }

    pub(crate) async fn check(&self) -> Result<(), String> {
        let producer = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = producer.client().fetch_metadata(Some(crate::events::TOPICS[0]), Duration::from_secs(1));
            // What went wrong with the connection is told here.
            producer.poll(Duration::from_millis(10));
            let failure = &producer.client().context().0;
            let last = std::mem::take(&mut *failure.lock().unwrap_or_else(PoisonError::into_inner));
            answer.map(drop).map_err(|error| {
                let told = last.as_ref().map_or_else(|| explain(&error, ""), |(error, reason)| explain(error, reason));
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = last;
                told
            })
        });
        asked.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// A producer that is made when it is first needed, because an idle one costs a thread and half a percent of a core, and
/// given up without blocking the runtime. A new one takes its place after any failure: see [`Kafka::producer`].
#[derive(Default)]
pub(crate) struct LazyProducer(Option<FutureProducer>);

impl LazyProducer {
    /// The producer, which stays until this value is dropped.
    ///
    /// # Errors
    /// Where a setting is unusable.
    pub(crate) fn get(&mut self, kafka: &Kafka) -> anyhow::Result<&FutureProducer> {
        Ok(match &mut self.0 {
            Some(producer) => producer,
            none => none.insert(kafka.producer()?),
        })
    }
}

impl Drop for LazyProducer {
    fn drop(&mut self) {
        // Its end waits for its thread.
        if let (Some(producer), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(producer));
        }
    }
}

/// Keeps why a connection failed last: librdkafka tells it once and then only that nobody answers.
#[derive(Default)]
struct LastFailure(Mutex<Option<(KafkaError, String)>>);

impl ClientContext for LastFailure {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, reason.to_owned()));
        }
    }
}

impl ProducerContext for LastFailure {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// What to look at.
fn explain(error: &KafkaError, reason: &str) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Authentication) => {
            format!("the broker refuses this service: {reason}; check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
        }
        Some(RDKafkaErrorCode::SSL) => {
            format!("no TLS with the broker: {reason}; check KAFKA_SSL_CA_LOCATION and KAFKA_SECURITY_PROTOCOL")
        }
        _ => {
            // A broker that wants TLS and is talked to without only closes the connection.
            let what = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
            format!("the broker does not answer: {what}; check KAFKA_BROKERS and KAFKA_SECURITY_PROTOCOL")
        }
    }
}
