//! What the tests of all services share: throw-away databases, tokens, a service without ports, events in and out.
//!
//! The servers come from `TEST_DATABASE_URL` (a superuser's) and `TEST_KAFKA_BROKERS`; `scripts/test.sh` starts both.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot be set up has to fail"
)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

mod collector;
mod database;
mod service;
mod tokens;

pub use collector::{Collector, SeenMetric, SeenSpan, texts};
pub use database::TestDb;
pub use service::{Answer, TestService};
pub use tokens::{TestUser, jwks, verifier};

use crate::{
    clock::Clock,
    consumer::{self, Handler},
    db::Db,
    directory::Directory,
    events::{Envelope, Event},
    kafka::Kafka,
    service_secret::ServiceSecret,
};

/// A Tuesday noon in 2026, in UTC: where the manual clock of tests starts.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_700_800, 0).expect("a valid time")
}

/// A new id; tests need no more of it than that it is their own.
pub fn id() -> Uuid {
    crate::id::new(Clock::system().now())
}

/// What a test's random choices follow from: `CAREEROS_FIRE_SEED`, or another one in every run. Printed, which the test
/// harness shows where the test fails, so that the failure can be repeated.
pub fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test is repeated by whoever sets it")]
    let given = std::env::var("CAREEROS_FIRE_SEED").ok();
    let seed = given.map_or_else(|| id().as_u64_pair().1, |seed| seed.parse().expect("CAREEROS_FIRE_SEED is a number"));
    #[expect(clippy::print_stderr, reason = "shown where the test fails")]
    {
        eprintln!("CAREEROS_FIRE_SEED={seed}");
    }
    seed
}

/// A clock that stands at [`start`] until the test moves it.
pub fn clock() -> Clock {
    Clock::manual(start())
}

/// A directory that knows `users` and nobody else.
pub fn directory(users: &[&TestUser]) -> Directory {
    Directory::of(users.iter().map(|user| (user.id, user.tenant_id)))
}

/// The value of an environment variable that `scripts/test.sh` sets.
pub(crate) fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the script that runs them")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run the tests by scripts/test.sh"))
}

/// `SERVICE_SHARED_SECRET` as `text` says it.
pub fn service_secret(text: &str) -> ServiceSecret {
    ServiceSecret::parse(text).expect("one secret or two, each long enough")
}

/// An event as its producer would write it.
pub fn envelope<E: Event>(tenant_id: Uuid, user_id: Option<Uuid>, occurred_at: DateTime<Utc>, event: &E) -> Envelope {
    Envelope {
        event_id: crate::id::new(occurred_at),
        event_type: E::TYPE.to_owned(),
        event_version: 1,
        occurred_at,
        source: E::SOURCE.to_owned(),
        correlation_id: None,
        request_id: None,
        tenant_id: tenant_id.to_string(),
        user_id: user_id.map(|id| id.to_string()),
        payload: serde_json::to_value(event).expect("an event is JSON"),
    }
}

/// Applies `events` as the runner applies a batch: in one transaction with the inbox.
pub async fn deliver<H: Handler>(db: &Db, group: &'static str, handler: H, events: &[Envelope]) -> crate::Result<()> {
    consumer::apply(db, group, &handler, events).await.map(drop)
}

/// The broker of the test run.
pub fn kafka() -> Kafka {
    kafka_of(&brokers())
}

/// Where the broker of the test run listens, as `KAFKA_BROKERS` of a whole service.
pub fn brokers() -> String {
    variable("TEST_KAFKA_BROKERS")
}

fn kafka_of(brokers: &str) -> Kafka {
    Kafka::new(&crate::config::Stores {
        database_url: String::new().into(),
        database_max_connections: 1,
        kafka_brokers: brokers.to_owned(),
        kafka_client_id: "careeros-test".to_owned(),
        kafka_topic_partitions: 3,
        kafka_topic_replication: 1,
        kafka_security: Vec::new(),
    })
}

/// How a whole service reaches the listener of the test run's broker that wants TLS and a password; only Apache Kafka has
/// one.
pub fn secured() -> [(&'static str, String); 6] {
    [
        ("KAFKA_BROKERS", variable("TEST_KAFKA_SECURED_BROKERS")),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
        ("KAFKA_SASL_MECHANISM", variable("TEST_KAFKA_SECURED_MECHANISM")),
        ("KAFKA_SASL_USERNAME", variable("TEST_KAFKA_SECURED_USERNAME")),
        ("KAFKA_SASL_PASSWORD", variable("TEST_KAFKA_SECURED_PASSWORD")),
        ("KAFKA_SSL_CA_LOCATION", variable("TEST_KAFKA_SECURED_CA")),
    ]
}

/// Awaits `condition`, asked every 20 ms for up to 30 s.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
