//! The tool against services that run, a broker of each test's own and a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to fail")]

mod cli;
mod dlq;
mod lag;
mod outbox;
mod projections;
mod rebuild;

use std::time::Duration;

use careeros_fleet::{data::DataDir, net::Port};
use careeros_ops::broker::Broker;
use careeros_shared::{
    boot::{Boot, Listeners},
    clock::Clock,
    env::Env,
    events::{Envelope, Event},
    testing::{self, TestDb},
};
use chrono::{DateTime, TimeDelta, Utc};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A broker of a test's own: the tool reads topics as a whole, and groups have fixed names.
struct Bench {
    brokers: String,
    ops: Broker,
    producer: FutureProducer,
    _broker: careeros_fleet::broker::Broker,
    _data: DataDir,
    _directory: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let broker = careeros_fleet::broker::Broker::start(&data, Port::Any).await.unwrap();
        let brokers = broker.bootstrap_servers();
        let config: ClientConfig = [("bootstrap.servers".to_owned(), brokers.clone())].into_iter().collect();
        let bench = Self {
            ops: Broker::new(config.clone()),
            producer: config.clone().set("linger.ms", "0").create().unwrap(),
            brokers,
            _broker: broker,
            _data: data,
            _directory: directory,
        };
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let topics = careeros_shared::events::TOPICS.map(|topic| NewTopic::new(topic, 3, TopicReplication::Fixed(1)));
        for made in admin.create_topics(&topics, &AdminOptions::new()).await.unwrap() {
            made.unwrap();
        }
        bench
    }

    /// Writes a record and waits for its acknowledgement.
    async fn send(&self, topic: &str, key: &str, value: &str) {
        let headers = OwnedHeaders::new().insert(Header { key: "correlation_id", value: Some("c-1") });
        let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
    }

    async fn send_event(&self, event: &Sent) {
        self.send(event.topic, &event.key, &serde_json::to_string(&event.envelope).unwrap()).await;
    }

    /// Runs a service of its own on `db`.
    async fn service<F>(&self, db: &TestDb, run: impl FnOnce(Boot) -> F) -> Running
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let env: Env = [
            ("SERVICE_SHARED_SECRET", "a-secret-for-tests-only"),
            ("DATABASE_URL", &db.url),
            ("KAFKA_BROKERS", &self.brokers),
            ("LOG_LEVEL", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let listeners = Some(Listeners { http, grpc: Some(grpc) });
        let boot = Boot { env, listeners, shutdown: shutdown.clone(), clock: Clock::system() };
        Running { shutdown, task: tokio::spawn(run(boot)) }
    }
}

/// A service that runs.
struct Running {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// An event with the topic and the key that its producer gives it.
#[derive(Debug, Clone)]
struct Sent {
    topic: &'static str,
    key: String,
    envelope: Envelope,
}

/// The event of a user of the tenant 1, `minutes` ago.
fn sent<E: Event>(user: u128, minutes: i64, event: &E) -> Sent {
    let (tenant_id, user_id) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(user));
    let envelope = testing::envelope(tenant_id, Some(user_id), ago(minutes), event);
    Sent { topic: E::TOPIC, key: event.key().unwrap_or_else(|| user_id.to_string()), envelope }
}

fn ago(minutes: i64) -> DateTime<Utc> {
    Clock::system().now() - TimeDelta::minutes(minutes)
}

async fn number(db: &TestDb, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&db.admin).await.unwrap()
}
