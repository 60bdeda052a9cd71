//! The backbone on a real PostgreSQL and a real broker: what is committed is published, what is published is applied once.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has to fail")]

mod consumer;
mod database;
mod edge;
mod identity;
mod order;
mod poison;
mod production;
mod relay;
mod rotation;
mod secured;
mod tally;
mod telemetry;
mod transport;
mod trouble;

use std::time::Duration;

use careeros_shared::{
    boot::{Boot, Listeners, Runtime},
    clock::Clock,
    config::{self, Service, Stores},
    context::Context,
    db::{Db, Tx},
    env::Env,
    events::{Envelope, Event, ProfileUpdated},
    kafka::Kafka,
    outbox::{self, About},
    testing::{self, TestDb},
};
use rdkafka::{ClientConfig, Message, consumer::Consumer, message::OwnedMessage};
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// No tables beyond the backbone's.
static NO_MIGRATIONS: Migrator = Migrator::DEFAULT;

const SERVICE: Service = Service { name: "test-service", http_port: 0, grpc_port: 0 };

/// A service that only has a backbone.
struct Fixture {
    http: String,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Fixture {
    async fn start(db: &TestDb, brokers: &str, consume: impl FnOnce(&Runtime, &Db, &Kafka)) -> Self {
        Self::start_as(&SERVICE, &db.url, brokers, consume).await
    }

    /// A service with a name of its own, by which its database connections are known.
    async fn start_as(
        service: &'static Service,
        database_url: &str,
        brokers: &str,
        consume: impl FnOnce(&Runtime, &Db, &Kafka),
    ) -> Self {
        Self::start_with(service, database_url, &[("KAFKA_BROKERS", brokers.to_owned())], consume).await
    }

    /// A service that reaches the broker by these settings.
    async fn start_with(
        service: &'static Service,
        database_url: &str,
        broker: &[(&str, String)],
        consume: impl FnOnce(&Runtime, &Db, &Kafka),
    ) -> Self {
        let mut env: Env = broker.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        env.set("SERVICE_SHARED_SECRET", "a-secret-for-tests-only");
        env.set("DATABASE_URL", database_url);
        env.set("LOG_LEVEL", "warn");
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = format!("http://{}", listener.local_addr().unwrap());
        let (common, stores) = config::load(service, &env, Stores::read).await.unwrap();
        let boot = Boot {
            env,
            listeners: Some(Listeners { http: listener, grpc: None }),
            shutdown: shutdown.clone(),
            clock: Clock::system(),
        };
        let mut runtime = Runtime::new(service, common, boot).unwrap();
        let (own, kafka) = runtime.stores(&stores, &NO_MIGRATIONS).unwrap();
        consume(&runtime, &own, &kafka);
        let task = tokio::spawn(runtime.serve(Routes::default(), |_| axum::Router::new()));
        Self { http, shutdown, task }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        // Only the first caller in the process can install it.
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::get(format!("{}{path}", self.http)).await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn brokers() -> String {
    testing::brokers()
}

/// A client of the broker, otherwise as librdkafka has it.
fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers());
    client
}

/// How many records `topic` has.
fn records_on(topic: &str) -> usize {
    let consumer: rdkafka::consumer::BaseConsumer = client().create().unwrap();
    let patience = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), patience).unwrap();
    let partitions = metadata.topics()[0].partitions().iter();
    let ends = partitions.map(|partition| consumer.fetch_watermarks(topic, partition.id(), patience).unwrap().1);
    usize::try_from(ends.sum::<i64>()).unwrap()
}

/// A topic of a test's own.
async fn topic(area: &str) -> &'static str {
    let name: &'static str = Box::leak(format!("careeros.test.{area}-{}.v1", testing::id().simple()).into_boxed_str());
    testing::kafka().ensure_topics(&[name.to_owned()]).await.unwrap();
    name
}

/// A user of a test's own, so that tests can share topics.
fn about() -> About {
    About { tenant_id: testing::id(), user_id: Some(testing::id()) }
}

fn event(about: About, number: usize) -> ProfileUpdated {
    ProfileUpdated { user_id: about.user_id.unwrap(), updated_fields: vec![number.to_string()], timezone: None }
}

async fn publish(tx: &mut Tx, about: About, number: usize) {
    outbox::publish(tx, &Context::internal(testing::start()), about, &event(about, number)).await.unwrap();
}

/// The number that an [`event`] carries.
fn number_of(envelope: &Envelope) -> usize {
    envelope.payload::<ProfileUpdated>().unwrap().updated_fields[0].parse().unwrap()
}

/// Reads `topic` from its beginning until `enough` says so.
async fn read_until(topic: &str, mut enough: impl FnMut(&[OwnedMessage]) -> bool) -> Vec<OwnedMessage> {
    let consumer: rdkafka::consumer::StreamConsumer = client()
        .set("group.id", format!("reader-{}", testing::id()))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        // The topic may not be there yet.
        .set("topic.metadata.refresh.interval.ms", "500")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut messages = Vec::new();
    let read = async {
        while !enough(&messages) {
            if let Ok(message) = consumer.recv().await {
                messages.push(message.detach());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("the records arrive within 30 s");
    messages
}

/// The numbers of `about`'s events on the topic, once there are `count`.
async fn numbers(about: About, count: usize) -> Vec<usize> {
    let of = |messages: &[OwnedMessage]| -> Vec<usize> {
        messages
            .iter()
            .filter_map(|message| Envelope::parse(message.payload()?).ok())
            .filter(|envelope| envelope.tenant_id == about.tenant_id.to_string())
            .map(|envelope| number_of(&envelope))
            .collect()
    };
    of(&read_until(ProfileUpdated::TOPIC, |messages| of(messages).len() >= count).await)
}
