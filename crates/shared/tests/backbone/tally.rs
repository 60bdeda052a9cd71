//! A consumer group that counts what it is given: the number of each event in a table of its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use careeros_shared::{
    Error, Result,
    consumer::{Consumer, Handler},
    db::Tx,
    events::{
        AiFlowExecuted, Envelope, Event, LessonCompleted, ProfileUpdated, RoadmapCreated, SubscriptionActivated,
        UserRegistered,
    },
    outbox::About,
    testing::{self, TestDb},
};
use tokio::sync::watch;

use crate::{Fixture, NO_MIGRATIONS, SERVICE, brokers, event};

/// The number that its handler fails on.
pub(crate) const FAILS: usize = 13;
/// The number that its handler panics on.
pub(crate) const PANICS: usize = 14;

/// Writes numbers, and checks the payloads of the closed types.
#[derive(Clone)]
struct Tally {
    /// How many events were applied when [`FAILS`] was last tried.
    applied_before_failure: Arc<watch::Sender<i64>>,
    /// How many events it was given.
    given: Arc<watch::Sender<usize>>,
}

impl Handler for Tally {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        self.given.send_modify(|given| *given += events.len());
        for envelope in events {
            if envelope.event_type != ProfileUpdated::TYPE {
                check(envelope)?;
                continue;
            }
            let number = envelope.payload::<ProfileUpdated>()?.updated_fields[0].clone();
            if number == FAILS.to_string() {
                let applied = sqlx::query_scalar("select count(*) from tally").fetch_one(&mut **tx).await?;
                self.applied_before_failure.send_replace(applied);
                return Err(Error::internal(anyhow::anyhow!("thirteen")));
            }
            assert!(number != PANICS.to_string(), "the handler panics, as it is asked to");
            sqlx::query("insert into tally (number) values ($1)").bind(number).execute(&mut **tx).await?;
        }
        Ok(())
    }
}

/// Refuses what is no valid event of a closed type.
fn check(envelope: &Envelope) -> Result<()> {
    match envelope.event_type.as_str() {
        UserRegistered::TYPE => envelope.payload::<UserRegistered>().map(drop),
        AiFlowExecuted::TYPE => envelope.payload::<AiFlowExecuted>().map(drop),
        RoadmapCreated::TYPE => envelope.payload::<RoadmapCreated>().map(drop),
        LessonCompleted::TYPE => envelope.payload::<LessonCompleted>().map(drop),
        SubscriptionActivated::TYPE => envelope.payload::<SubscriptionActivated>().map(drop),
        other => Err(Error::invalid("event_type", format!("is {other}"))),
    }
}

/// The group with its database.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) db: TestDb,
    pub(crate) topic: &'static str,
    handler: Tally,
}

impl Group {
    /// A group that is to read `topic`.
    pub(crate) async fn new(topic: &'static str) -> Self {
        let db = TestDb::new(&NO_MIGRATIONS).await;
        sqlx::query("create table tally (number text not null)").execute(&db.admin).await.unwrap();
        let name: &'static str = Box::leak(format!("tally-{}", testing::id()).into_boxed_str());
        let handler = Tally { applied_before_failure: Arc::default(), given: Arc::default() };
        Self { name, db, topic, handler }
    }

    /// A service with one consumer of the group.
    pub(crate) async fn start(&self) -> Fixture {
        self.start_with(&[("KAFKA_BROKERS", brokers())]).await
    }

    /// As [`Group::start`], with these settings for the broker.
    pub(crate) async fn start_with(&self, broker: &[(&str, String)]) -> Fixture {
        self.start_handler(broker, self.handler.clone()).await
    }

    /// As [`Group::start`]; returns when this consumer has been given its first events.
    pub(crate) async fn join(&self) -> Fixture {
        let given = Arc::new(watch::Sender::new(0));
        let mut seen = given.subscribe();
        let service =
            self.start_handler(&[("KAFKA_BROKERS", brokers())], Tally { given, ..self.handler.clone() }).await;
        let first = tokio::time::timeout(Duration::from_secs(30), seen.changed()).await;
        first.expect("a consumer that joins gets a share of the partitions").unwrap();
        service
    }

    async fn start_handler(&self, broker: &[(&str, String)], handler: Tally) -> Fixture {
        let name = self.name;
        let topics: &'static [&'static str] = Box::leak(Box::new([self.topic]));
        Fixture::start_with(&SERVICE, &self.db.url, broker, move |runtime, db, kafka| {
            runtime.consume(db, kafka, Consumer { group: name, topics, handler });
        })
        .await
    }

    /// How often each number was applied.
    pub(crate) async fn tally(&self) -> HashMap<usize, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as("select number, count(*) from tally group by number")
            .fetch_all(&self.db.admin)
            .await
            .unwrap();
        rows.into_iter().map(|(number, count)| (number.parse().unwrap(), count)).collect()
    }

    /// Awaits that `numbers` and no others are applied, each once.
    pub(crate) async fn applied(&self, numbers: impl IntoIterator<Item = usize>) {
        let expected: BTreeMap<usize, i64> = numbers.into_iter().map(|number| (number, 1)).collect();
        testing::eventually("the events are applied", async || self.tally().await.len() >= expected.len()).await;
        assert_eq!(self.tally().await.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }

    /// How many events were applied when [`FAILS`] was tried for the last time.
    pub(crate) fn applied_before_failure(&self) -> i64 {
        *self.handler.applied_before_failure.borrow()
    }
}

/// The value of a record with `number`.
pub(crate) fn value(about: About, number: usize) -> String {
    let envelope = testing::envelope(about.tenant_id, about.user_id, testing::start(), &event(about, number));
    serde_json::to_string(&envelope).unwrap()
}
