//! Applied once: the groups read everything again from the beginning, two processes each, while some are killed in the
//! middle of their batches, and the projections stay as they are.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
};

use super::{Fire, compare::assert_same, history, projections, settled, tables::Tables, topics::Topics};
use crate::{
    contract::GROUPS,
    events::Bus,
    processes::{Processes, Replica},
    support,
};

/// The four with projections: service, database and group.
const CONSUMERS: [(usize, &str, &str); 4] = [
    (4, "roadmap", "roadmap-ai-updates-v1"),
    (6, "edu_tracker", "edutracker-lms-progress-v1"),
    (7, "billing", "billing-usage-v1"),
    (8, "analytics", "analytics-global-v1"),
];
/// What analytics still has to count, and which tenants' next day it watches for: no projections of events.
const BOOKKEEPING: [&str; 2] = ["kpi_changes", "kpi_open"];
/// For what follows from a few calls.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// How long processes are killed while a group reads, in the short form.
const SECONDS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn reading_everything_again_in_two_processes_changes_no_projection() {
    let _machine = support::alone().await;
    let fire = Fire::start(SECONDS);
    let mut random = StdRng::seed_from_u64(fire.seed);
    let mut processes = Processes::start().await;
    processes.client().walk().await.unwrap();
    for (service, ..) in CONSUMERS {
        assert!(processes.terminate_one(service).await.success());
    }
    let events = history::write(processes.brokers(), fire.seed).await;
    eprintln!("{events} events of a history");

    // The first time everything is new, and the projections are what the events say.
    let Readers { replicas, .. } = read_under_fire(&mut processes, &mut random, fire.time).await;
    let topics = Topics::read(&processes).await;
    projections::check(&processes, &topics).await;
    let before = dump(&processes).await;
    for replica in replicas {
        replica.terminate().await;
    }

    reset(&processes).await;
    let readers = read_under_fire(&mut processes, &mut random, fire.time).await;
    let after = dump(&processes).await;
    for (database, rows) in before {
        assert_same(&format!("the tables of {database} before and after"), rows, after[database].clone());
    }
    readers.assert_read_again().await;
    drop(readers);
    processes.stop().await;
}

/// The processes that read, and what those counted that are gone.
struct Readers {
    replicas: Vec<Replica>,
    metrics: String,
}

/// Starts two processes of each service, kills and adds some while they read, and waits until everything is read.
async fn read_under_fire(processes: &mut Processes, random: &mut StdRng, time: Duration) -> Readers {
    let mut groups: Vec<Vec<Replica>> =
        CONSUMERS.iter().map(|(service, ..)| (0..2).map(|_| processes.replica(*service)).collect()).collect();
    let mut order: Vec<usize> = (0..CONSUMERS.len()).collect();
    let (mut kills, mut rounds, mut metrics) = (0, 0, String::new());
    let ends = Instant::now() + time;
    while Instant::now() < ends || rounds < order.len() {
        if rounds % order.len() == 0 {
            order.shuffle(random);
        }
        let at = order[rounds % order.len()];
        let group = &mut groups[at];
        rounds += 1;
        // The third takes partitions from the two; then one of the three is gone without a word, or says goodbye.
        group.push(processes.replica(CONSUMERS[at].0));
        pause(random, 200..800).await;
        let one = group.swap_remove(random.random_range(0..group.len()));
        metrics += &one.metrics().await.unwrap_or_default();
        if rounds <= order.len() || random.random_bool(0.5) {
            one.kill().await;
            kills += 1;
        } else {
            one.terminate().await;
        }
    }
    eprintln!("{rounds} rebalances, {kills} processes killed");
    let replicas: Vec<_> = groups.into_iter().flatten().collect();
    for replica in &replicas {
        replica.ready().await;
    }
    settled(processes).await;
    Readers { replicas, metrics }
}

/// The projections once analytics has counted all days.
async fn dump(processes: &Processes) -> BTreeMap<&'static str, Vec<String>> {
    let mut dumps = BTreeMap::new();
    for (_, database, _) in CONSUMERS {
        let mut tables = Tables::of(processes, database).await;
        if database == "analytics" {
            let open =
                "select (select count(*) from kpi_changes) + (select count(*) from plan_prices where not counted)";
            let deadline = Instant::now() + PATIENCE;
            while tables.number(open).await > 0 {
                assert!(Instant::now() < deadline, "kpi_daily is not up to date after {PATIENCE:?}");
                tokio::time::sleep(POLL).await;
            }
        }
        dumps.insert(database, tables.dump(&BOOKKEEPING).await);
        tables.close().await;
    }
    for (database, rows) in &dumps {
        assert!(!rows.is_empty(), "{database} has no rows");
    }
    dumps
}

/// Sends the groups, which have no members, back to the beginning of all their topics.
async fn reset(processes: &Processes) {
    let bus = Bus::new(processes.brokers());
    let reset = move || {
        for (group, topics) in GROUPS {
            let mut beginning = TopicPartitionList::new();
            for (topic, partition) in bus.ends(topics).keys() {
                beginning.add_partition_offset(topic, *partition, Offset::Offset(0)).unwrap();
            }
            let consumer = bus.consumer(group);
            let deadline = Instant::now() + PATIENCE;
            // Refused for as long as the group has members; one that was killed is so until its session ends.
            while let Err(error) = consumer.commit(&beginning, CommitMode::Sync) {
                assert!(Instant::now() < deadline, "the offsets of {group} cannot be reset: {error}");
                std::thread::sleep(POLL);
            }
            let committed = consumer.committed_offsets(beginning, PATIENCE).unwrap();
            assert!(committed.elements().iter().all(|element| element.offset() == Offset::Offset(0)), "{group}");
        }
    };
    tokio::task::spawn_blocking(reset).await.unwrap();
}

impl Readers {
    /// Asserts that the groups had events in front of them again and applied none. What a process did last before it was
    /// killed is not known, and may be all that there was for a small group.
    async fn assert_read_again(&self) {
        let mut metrics = self.metrics.clone();
        for replica in &self.replicas {
            metrics += &replica.metrics().await.expect("it lives");
        }
        let mut all = 0.0;
        for (_, _, group) in CONSUMERS {
            let count = |name: &str| -> f64 {
                let label = format!("group=\"{group}\"");
                let series = metrics.lines().filter(|line| line.starts_with(name) && line.contains(&label));
                series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
            };
            let (applied, again) = (count("consumer_events_applied_total"), count("consumer_events_duplicate_total"));
            eprintln!("{group}: at least {again} read again, {applied} applied");
            assert!(applied.abs() < f64::EPSILON, "{group} applied {applied} events again");
            all += again;
        }
        assert!(all > 0.0, "nothing was read again");
    }
}

async fn pause(random: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(milliseconds))).await;
}
