//! Per key, a topic's order is the order of the commits, however long writers pause between the write of an event and its
//! commit, and however often the relay is killed and taken over.

use std::{collections::BTreeMap, time::Duration};

use careeros_shared::{
    config::Service,
    context::Context,
    db::Db,
    events::Envelope,
    outbox::{self, About, Row},
    testing::{self, TestDb},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rdkafka::{
    Message,
    message::OwnedMessage,
    producer::{FutureProducer, FutureRecord},
};
use tokio::sync::watch;

use crate::{Fixture, NO_MIGRATIONS, about, brokers, client, event, number_of, read_until, topic};

/// How often the relay loses its life.
const KILLS: u32 = 6;
const KEYS: usize = 4;
/// More than keys, so that some wait for each other's locks.
const WRITERS: u64 = 6;

/// What is wrong with the order of `read`, by what was committed: the counters of a key count from 1 without a gap, looking
/// only at the first occurrence of each.
fn check(committed: &BTreeMap<String, usize>, read: &[(String, usize)]) -> Result<(), String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, counter) in read {
        let last = seen.entry(key).or_default();
        if *counter > *last + 1 {
            return Err(format!("{key}: {counter} comes when the last was {last}"));
        }
        *last = (*counter).max(*last);
    }
    for (key, count) in committed {
        let last = seen.get(key.as_str()).copied().unwrap_or_default();
        if last != *count {
            return Err(format!("{key}: {count} were committed, {last} came"));
        }
    }
    Ok(())
}

#[test]
fn the_check_finds_gaps_and_swaps_and_lets_repetitions_pass() {
    let committed = BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 1)]);
    let read = |counters: &[(&str, usize)]| -> Vec<(String, usize)> {
        counters.iter().map(|(key, counter)| ((*key).to_owned(), *counter)).collect()
    };
    let good = [("a", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 2), ("a", 3), ("b", 1)];
    assert_eq!(check(&committed, &read(&good)), Ok(()));
    for bad in [
        &[("a", 2), ("a", 1), ("a", 3), ("b", 1)][..],
        &[("a", 1), ("a", 3), ("b", 1)],
        &[("a", 1), ("a", 2), ("b", 1)],
        &[("a", 1), ("a", 2), ("a", 3)],
    ] {
        assert!(check(&committed, &read(bad)).is_err(), "{bad:?}");
    }
}

/// A database where keys count their changes, and the topic that tells of them.
struct Counters {
    db: TestDb,
    topic: &'static str,
    about: About,
}

impl Counters {
    async fn new() -> Self {
        let db = TestDb::new(&NO_MIGRATIONS).await;
        sqlx::query("create table counters (key text primary key, value bigint not null default 0)")
            .execute(&db.admin)
            .await
            .unwrap();
        sqlx::query("insert into counters (key) select 'key-' || n from generate_series(1, $1) n")
            .bind(i32::try_from(KEYS).unwrap())
            .execute(&db.admin)
            .await
            .unwrap();
        Self { db, topic: topic("order").await, about: about() }
    }

    /// Counts one more change of `key` and tells of it, both under the key's row lock, with a pause before the commit.
    async fn write(&self, key: usize, pause: Duration, commit: bool) {
        let mut tx = self.db.begin_system().await.unwrap();
        let key = format!("key-{key}");
        let counter: i64 = sqlx::query_scalar("update counters set value = value + 1 where key = $1 returning value")
            .bind(&key)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        let context = Context::internal(testing::start());
        let mut row = Row::new(&context, self.about, &event(self.about, usize::try_from(counter).unwrap())).unwrap();
        (row.topic, row.key) = (self.topic, key);
        outbox::publish_all(&mut tx, [row]).await.unwrap();
        tokio::time::sleep(pause).await;
        if commit {
            tx.commit().await.unwrap();
        }
    }

    async fn committed(&self) -> BTreeMap<String, usize> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("select key, value from counters").fetch_all(&self.db.admin).await.unwrap();
        rows.into_iter().map(|(key, value)| (key, usize::try_from(value).unwrap())).collect()
    }

    /// The counters on the topic in its order per key, up to the last one of each key that was committed.
    async fn read(&self) -> Vec<(String, usize)> {
        let committed = self.committed().await;
        let counter = |message: &OwnedMessage| {
            let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
            (key, number_of(&Envelope::parse(message.payload().unwrap()).unwrap()))
        };
        let mut missing = committed.clone();
        missing.retain(|_, count| *count > 0);
        let complete = |messages: &[OwnedMessage]| {
            if let Some((key, number)) = messages.last().map(counter) {
                missing.retain(|of, count| (of, *count) != (&key, number));
            }
            missing.is_empty()
        };
        read_until(self.topic, complete).await.iter().map(counter).collect()
    }
}

/// Writes until `stop` says so.
async fn writer(counters: &Counters, seed: u64, stop: watch::Receiver<bool>) {
    let mut random = StdRng::seed_from_u64(seed);
    while !*stop.borrow() {
        let key = random.random_range(1..=KEYS);
        let pause = Duration::from_millis(random.random_range(0..15));
        counters.write(key, pause, random.random_bool(0.9)).await;
    }
}

/// A service with a runtime of its own, so that it can be killed with everything that it does.
struct Victim {
    name: &'static str,
    runtime: tokio::runtime::Runtime,
}

impl Victim {
    async fn start(db: &TestDb) -> Self {
        let name: &'static str = Box::leak(format!("relay-{}", testing::id().simple()).into_boxed_str());
        let service: &'static Service = Box::leak(Box::new(Service { name, http_port: 0, grpc_port: 0 }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = db.url.clone();
        let start = async move { Fixture::start_as(service, &url, &brokers(), |_, _, _| {}).await };
        runtime.spawn(start).await.unwrap();
        Self { name, runtime }
    }

    /// All its tasks end where they are.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Which service holds the outbox's lock.
async fn owner(db: &TestDb) -> Option<String> {
    sqlx::query_scalar(
        "select a.application_name from pg_locks l join pg_stat_activity a using (pid)
         where l.locktype = 'advisory' and l.granted and a.datname = current_database()",
    )
    .fetch_optional(&db.admin)
    .await
    .unwrap()
}

async fn some_owner(db: &TestDb) -> String {
    loop {
        testing::eventually("somebody owns the outbox", async || owner(db).await.is_some()).await;
        if let Some(name) = owner(db).await {
            return name;
        }
    }
}

async fn terminate(db: &TestDb, name: &str) {
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = $1 and datname = current_database()",
    )
    .bind(name)
    .execute(&db.admin)
    .await
    .unwrap();
}

/// Takes the outbox from whoever owns it, [`KILLS`] times: its connections, its tasks or both. Returns who is left.
async fn kill_owners(db: &TestDb, random: &mut StdRng) -> Victim {
    let mut services = vec![Victim::start(db).await, Victim::start(db).await];
    for kill in 0..KILLS {
        let name = some_owner(db).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        // With only its connections gone a relay still has a producer, and records on their way.
        let (connections, tasks) = [(true, true), (true, false), (false, true)][kill as usize % 3];
        if tasks {
            let index = services.iter().position(|service| service.name == name).unwrap();
            services.swap_remove(index).kill();
            services.push(Victim::start(db).await);
        }
        if connections {
            terminate(db, &name).await;
        }
        testing::eventually("another owns the outbox", async || owner(db).await.is_some_and(|new| new != name)).await;
    }
    services.pop().unwrap().kill();
    services.pop().unwrap()
}

async fn outbox_size(db: &TestDb) -> i64 {
    sqlx::query_scalar("select count(*) from outbox").fetch_one(&db.admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_a_key_arrive_in_their_order_while_relays_are_killed() {
    let seed = testing::seed();
    let counters = Counters::new().await;
    let (stop, stopped) = watch::channel(false);
    let writers =
        futures::future::join_all((0..WRITERS).map(|n| writer(&counters, seed.wrapping_add(1 + n), stopped.clone())));
    let killer = async {
        let last = kill_owners(&counters.db, &mut StdRng::seed_from_u64(seed)).await;
        stop.send(true).unwrap();
        last
    };
    let (_, last) = tokio::join!(writers, killer);
    testing::eventually("the outbox is empty", async || outbox_size(&counters.db).await == 0).await;
    last.kill();
    let committed = counters.committed().await;
    assert!(committed.values().all(|count| *count > 20), "too little was written to show anything: {committed:?}");
    assert_eq!(check(&committed, &counters.read().await), Ok(()), "CAREEROS_FIRE_SEED={seed}");
}

/// One of several publishers without a lock: it takes the next rows that nobody has, which `skip locked` invites to.
async fn skip_locked(db: &Db, topic: &str, pause: Duration) {
    let producer: FutureProducer = client().create().unwrap();
    loop {
        let mut tx = db.begin_system().await.unwrap();
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("select seq, key, value from outbox order by seq limit 5 for update skip locked")
                .fetch_all(&mut *tx)
                .await
                .unwrap();
        if rows.is_empty() {
            return;
        }
        tokio::time::sleep(pause).await;
        for (seq, key, value) in rows {
            let record = FutureRecord::to(topic).key(&key).payload(&value);
            producer.send(record, Duration::from_secs(10)).await.unwrap();
            sqlx::query("delete from outbox where seq = $1").bind(seq).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_relay_that_reorders_is_found_out() {
    let counters = Counters::new().await;
    for number in 0..120 {
        counters.write(1 + number % KEYS, Duration::ZERO, true).await;
    }
    let publish = |pause| skip_locked(&counters.db, counters.topic, Duration::from_millis(pause));
    tokio::join!(publish(100), publish(0));
    let found = check(&counters.committed().await, &counters.read().await).unwrap_err();
    assert!(found.contains("comes when the last was"), "{found}");
}
