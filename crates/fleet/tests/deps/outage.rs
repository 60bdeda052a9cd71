//! A service's relay and consumers while the broker is away for longer than they wait for an acknowledgement: nothing is
//! lost, nothing overtakes, and all goes on when it is back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use careeros_fleet::broker_process::{BrokerProcess, Kind};
use careeros_fleet::net::Port;
use careeros_shared::boot::{Boot, Runtime};
use careeros_shared::clock::Clock;
use careeros_shared::config::{self, Service, Stores};
use careeros_shared::consumer::{Consumer, Handler};
use careeros_shared::context::Context;
use careeros_shared::db::Tx;
use careeros_shared::env::Env;
use careeros_shared::events::{Envelope, ProfileUpdated};
use careeros_shared::outbox::{self, About, Row};
use careeros_shared::testing::{self, TestDb, eventually};
use careeros_shared::{Error, Result};
use rdkafka::Message as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Headers as _, OwnedMessage};
use sqlx::migrate::Migrator;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clients::{PATIENCE, TOPIC, client, create_topic};
use crate::support::directory;

static NO_MIGRATIONS: Migrator = Migrator::DEFAULT;
const SERVICE: Service = Service { name: "test-service", http_port: 0, grpc_port: 0 };
const GROUP: &str = "counters";
/// Longer than the relay waits for an acknowledgement, and a dead letter's writer twice.
const OUTAGE: Duration = Duration::from_secs(12);
/// The number that the handler refuses.
const POISON: usize = 13;

async fn start(directory: &TempDir) -> BrokerProcess {
    let kind = Kind::from_env(&Env::from_process()).unwrap();
    let launcher = Path::new(env!("CARGO_BIN_EXE_careeros-fleet"));
    let broker = BrokerProcess::start(kind, directory.path(), Port::Any, launcher).await.unwrap();
    create_topic(&broker.bootstrap_servers(), 1).await;
    broker
}

/// Writes numbers down, and refuses [`POISON`] once it may.
#[derive(Clone)]
struct Picky {
    /// Whether the poison has come.
    seen: Arc<watch::Sender<bool>>,
    /// Whether its refusal may go on.
    refuses: Arc<watch::Sender<bool>>,
}

impl Picky {
    fn new() -> Self {
        Self { seen: Arc::new(watch::Sender::new(false)), refuses: Arc::new(watch::Sender::new(false)) }
    }
}

impl Handler for Picky {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        for number in events.iter().map(number_of) {
            if number == POISON {
                self.seen.send_replace(true);
                self.refuses.subscribe().wait_for(|refuses| *refuses).await.map_err(Error::internal)?;
                return Err(Error::invalid("number", "is thirteen"));
            }
            let insert = sqlx::query("insert into applied (number) values ($1)").bind(i64::try_from(number).unwrap());
            insert.execute(&mut **tx).await?;
        }
        Ok(())
    }
}

/// A database with a table of what its consumer was given.
async fn database() -> TestDb {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    sqlx::query("create table applied (number bigint not null)").execute(&db.admin).await.unwrap();
    db
}

/// A service's backbone, without servers.
async fn service(db: &TestDb, broker: &BrokerProcess, handler: Picky) -> Runtime {
    let env: Env = [
        ("SERVICE_SHARED_SECRET", "a-secret-for-tests-only"),
        ("DATABASE_URL", db.url.as_str()),
        ("KAFKA_BROKERS", &broker.bootstrap_servers()),
        ("LOG_LEVEL", "warn"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect();
    let (common, stores) = config::load(&SERVICE, &env, Stores::read).await.unwrap();
    let boot = Boot { env, listeners: None, shutdown: CancellationToken::new(), clock: Clock::system() };
    let mut runtime = Runtime::new(&SERVICE, common, boot).unwrap();
    let (own, kafka) = runtime.stores(&stores, &NO_MIGRATIONS).unwrap();
    runtime.consume(&own, &kafka, Consumer { group: GROUP, topics: &[TOPIC], handler });
    runtime
}

/// The number that an event of [`commit`] carries.
fn number_of(envelope: &Envelope) -> usize {
    envelope.payload::<ProfileUpdated>().unwrap().updated_fields[0].parse().unwrap()
}

/// Commits an event with `number`, all of one key.
async fn commit(db: &TestDb, about: About, number: usize) {
    let context = Context::internal(testing::start());
    let updated_fields = vec![number.to_string()];
    let event = ProfileUpdated { user_id: about.user_id.unwrap(), updated_fields, timezone: None };
    let row = Row { topic: TOPIC, ..Row::new(&context, about, &event).unwrap() };
    let mut tx = db.begin_system().await.unwrap();
    outbox::publish_all(&mut tx, [row]).await.unwrap();
    tx.commit().await.unwrap();
}

fn about() -> About {
    About { tenant_id: testing::id(), user_id: Some(testing::id()) }
}

/// Commits numbers from 100 on until `stop`; how many.
async fn write(db: &TestDb, about: About, stop: watch::Receiver<bool>) -> usize {
    let mut count = 0;
    while !*stop.borrow() {
        commit(db, about, 100 + count).await;
        count += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    count
}

async fn applied(db: &TestDb) -> Vec<usize> {
    let numbers: Vec<i64> = sqlx::query_scalar("select number from applied").fetch_all(&db.admin).await.unwrap();
    numbers.into_iter().map(|number| usize::try_from(number).unwrap()).collect()
}

/// The records of `topic` until there are enough.
async fn read(brokers: &str, topic: &str, mut enough: impl FnMut(&[OwnedMessage]) -> bool) -> Vec<OwnedMessage> {
    let refresh = ("topic.metadata.refresh.interval.ms", "500");
    let reader: StreamConsumer =
        client(brokers, &[("group.id", "outage-readers"), ("auto.offset.reset", "earliest"), refresh]);
    reader.subscribe(&[topic]).unwrap();
    let mut messages = Vec::new();
    let all = async {
        while !enough(&messages) {
            if let Ok(message) = reader.recv().await {
                messages.push(message.detach());
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the records in time");
    messages
}

/// A broker in use, and what was committed while it was there, away and back.
struct Story {
    _directory: TempDir,
    db: TestDb,
    about: About,
    broker: BrokerProcess,
    _service: Runtime,
}

impl Story {
    /// Up to the point where events are applied.
    async fn begin() -> Self {
        let (directory, db) = (directory(), database().await);
        let broker = start(&directory).await;
        let service = service(&db, &broker, Picky::new()).await;
        Self { _directory: directory, db, about: about(), broker, _service: service }
    }

    /// Reads the topic once the outbox is empty: all of `count`, in the order of their commits.
    async fn check_order(&self, count: usize) {
        eventually("the outbox is empty", async || outbox::backlog(&self.db).await.unwrap().waiting == 0).await;
        let last = 100 + count - 1;
        let number = |message: &OwnedMessage| number_of(&Envelope::parse(message.payload().unwrap()).unwrap());
        let ended = |messages: &[OwnedMessage]| messages.last().is_some_and(|message| number(message) == last);
        let read = read(&self.broker.bootstrap_servers(), TOPIC, ended).await;
        let mut seen = BTreeSet::new();
        let first = read.iter().map(number).filter(|number| seen.insert(*number)).collect::<Vec<_>>();
        assert_eq!(first, (100..=last).collect::<Vec<_>>(), "in the order of the commits");
    }
}

#[tokio::test]
async fn events_of_a_key_keep_their_order_over_a_long_absence_of_the_broker() {
    let mut story = Story::begin().await;
    let (db, about) = (&story.db, story.about);
    let (stop, stopped) = watch::channel(false);
    let disturb = async {
        eventually("events are applied", async || applied(db).await.len() > 50).await;
        story.broker.kill().await.unwrap();
        tokio::time::sleep(OUTAGE).await;
        let before = applied(db).await.len();
        story.broker.restart().await.unwrap();
        eventually("events are applied again", async || applied(db).await.len() > before + 50).await;
        stop.send(true).unwrap();
    };
    let (count, ()) = tokio::join!(write(db, about, stopped), disturb);
    eventually("everything is applied", async || applied(db).await.len() >= count).await;
    let mut numbers = applied(db).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (100..100 + count).collect::<Vec<_>>(), "each once");
    story.check_order(count).await;
    story.broker.stop().await.unwrap();
}

#[tokio::test]
async fn events_of_a_key_keep_their_order_over_a_long_silence_of_the_broker() {
    let mut story = Story::begin().await;
    let (db, about) = (&story.db, story.about);
    let (stop, stopped) = watch::channel(false);
    let disturb = async {
        eventually("events are applied", async || applied(db).await.len() > 50).await;
        story.broker.pause().await.unwrap();
        tokio::time::sleep(OUTAGE).await;
        // What relays that gave up have sent is still on its way.
        story.broker.resume().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.send(true).unwrap();
    };
    let (count, ()) = tokio::join!(write(db, about, stopped), disturb);
    story.check_order(count).await;
    story.broker.stop().await.unwrap();
}

#[tokio::test]
async fn poison_is_buried_when_the_broker_is_back_and_its_consumer_goes_on() {
    let (directory, db, about) = (directory(), database().await, about());
    let mut broker = start(&directory).await;
    let handler = Picky::new();
    let _service = service(&db, &broker, handler.clone()).await;
    commit(&db, about, POISON).await;
    handler.seen.subscribe().wait_for(|seen| *seen).await.unwrap();
    broker.kill().await.unwrap();
    handler.refuses.send_replace(true);
    for number in 100..110 {
        commit(&db, about, number).await;
    }
    tokio::time::sleep(OUTAGE).await;
    broker.restart().await.unwrap();
    eventually("the consumer goes on", async || applied(&db).await.len() >= 10).await;
    let mut numbers = applied(&db).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (100..110).collect::<Vec<_>>());

    let brokers = broker.bootstrap_servers();
    let dead = read(&brokers, &format!("{TOPIC}.dlq"), |messages| !messages.is_empty()).await.remove(0);
    assert_eq!(number_of(&Envelope::parse(dead.payload().unwrap()).unwrap()), POISON);
    let headers = dead.headers().unwrap();
    let group = headers.iter().find(|header| header.key == "dlq.group").unwrap();
    assert_eq!(group.value, Some(GROUP.as_bytes()));
    broker.stop().await.unwrap();
}
