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

mod database;
mod service;
mod tokens;

pub use database::TestDb;
pub use service::{Answer, TestService};
pub use tokens::{TestUser, jwks, verifier};

use crate::{
    clock::Clock,
    consumer::{Consumer, Handler, Runner},
    db::Db,
    directory::Directory,
    events::{Envelope, Event},
    kafka::Kafka,
};

/// A Tuesday noon in 2026, in UTC: where the manual clock of tests starts.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_700_800, 0).expect("a valid time")
}

/// A new id; tests need no more of it than that it is their own.
pub fn id() -> Uuid {
    crate::id::new(Clock::system().now())
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
    let consumer = Consumer { group, topics: &[], handler };
    Runner { service: "test-service", consumer, db: db.clone(), kafka: kafka_of("localhost:1") }.apply(events).await
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

/// Awaits `condition`, asked every 20 ms for up to 30 s.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
