//! How many events a second analytics takes.
//!
//! With `TEST_DATABASE_URL` alone: the projections, from records' bytes to committed rows, in batches as the runner makes
//! them. With `TEST_KAFKA_BROKERS` too: the whole service, from full topics. `careeros-fleet deps` sets both:
//!
//! `careeros-fleet deps -- cargo run --release -p careeros-analytics --example throughput -- [events] [tenants] [users]`

#![expect(clippy::print_stdout, reason = "it is for a person at a terminal")]
#![expect(clippy::expect_used, reason = "a measurement that cannot be set up has to fail")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

use std::time::{Duration, Instant};

use careeros_analytics::{
    MIGRATIONS, daily,
    events::{GROUP, Projections},
};
use careeros_shared::{
    boot::{Boot, Listeners},
    clock::Clock,
    events::{
        AiFlowExecuted, Envelope, Event, LessonCompleted, MasteryScoreUpdated, RoadmapCreated, SkillsUpdated,
        StreakUpdated,
    },
    metrics,
    testing::{self, TestDb},
};
use chrono::{DateTime, TimeDelta, Utc};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use rust_decimal::Decimal;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// As many as the runner puts into one transaction.
const BATCH: usize = 1000;

/// A record: its topic, key and value.
type Record = (&'static str, String, Vec<u8>);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let mut next = |default| arguments.next().unwrap_or(default);
    let (events, tenants, users) = (next(200_000_usize), next(100), next(10_000));
    let tenants: Vec<Uuid> = (0..tenants).map(|_| testing::id()).collect();
    let users: Vec<Uuid> = (0..users).map(|_| testing::id()).collect();
    let records: Vec<Record> = (0..events)
        .map(|number| {
            // Spread like a hash, the same in every run.
            let user = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let user = user % users.len();
            record(number, tenants[user % tenants.len()], users[user])
        })
        .collect();
    #[expect(clippy::disallowed_methods, reason = "says which of the two is measured")]
    let whole = std::env::var("TEST_KAFKA_BROKERS").is_ok();
    if whole { service(records).await } else { projections(&records).await }
}

async fn projections(records: &[Record]) {
    let db = TestDb::new(&MIGRATIONS).await;
    let started = Instant::now();
    let mut slowest = 0.0_f64;
    for batch in records.chunks(BATCH) {
        let began = Instant::now();
        let batch: Vec<_> =
            batch.iter().map(|(_, _, value)| Envelope::parse(value).expect("a valid envelope")).collect();
        testing::deliver(&db, GROUP, Projections, &batch).await.expect("the batch applies");
        slowest = slowest.max(began.elapsed().as_secs_f64());
    }
    report("projections", records.len(), started.elapsed());
    println!("slowest batch {:.0} ms", slowest * 1e3);
    let started = Instant::now();
    while daily::step(&db, testing::start() + TimeDelta::hours(6)).await.expect("the days can be counted") {}
    println!("daily KPIs in {:.2} s", started.elapsed().as_secs_f64());
}

async fn service(records: Vec<Record>) {
    let all = records.len() as u64;
    testing::kafka()
        .ensure_topics(&careeros_shared::events::TOPICS.map(str::to_owned))
        .await
        .expect("the topics can be made");
    tokio::task::spawn_blocking(move || produce(&records)).await.expect("the records can be produced");
    let db = TestDb::new(&MIGRATIONS).await;
    let env = [
        ("SERVICE_SHARED_SECRET", "a-secret-for-measuring-only"),
        ("DATABASE_URL", &db.url),
        ("KAFKA_BROKERS", &testing::brokers()),
        ("LOG_LEVEL", "warn"),
    ];
    let listener = async || TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let shutdown = CancellationToken::new();
    let boot = Boot {
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        listeners: Some(Listeners { http: listener().await, grpc: Some(listener().await) }),
        shutdown: shutdown.clone(),
        clock: Clock::system(),
    };
    let analytics = careeros_analytics::run(boot);
    let measure = async {
        // Joining the group is not what is measured.
        let first = applied_beyond(0).await;
        let started = Instant::now();
        let last = applied_beyond(all - 1).await;
        report("service", usize::try_from(last - first).unwrap_or_default(), started.elapsed());
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(analytics, measure);
    ended.expect("the service runs");
}

fn report(what: &str, events: usize, took: Duration) {
    let took = took.as_secs_f64();
    println!("{what}: {events} events in {took:.2} s: {:.0} events/s", events as f64 / took);
}

/// How many events have been applied, once they are more than `count`.
async fn applied_beyond(count: u64) -> u64 {
    loop {
        let metrics = metrics::render();
        let line = metrics.lines().find(|line| line.starts_with("consumer_events_applied_total{"));
        let applied = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0);
        if applied > count {
            return applied;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn produce(records: &[Record]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", testing::brokers())
        .set("linger.ms", "20")
        .create()
        .expect("a producer");
    for (topic, key, value) in records {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(50));
            record = back;
        }
    }
    producer.flush(Duration::from_mins(1)).expect("the broker takes the records");
}

/// The mix of a learning day: some of it is what users do, the rest follows from it. Ten events fall into a second.
fn record(number: usize, tenant_id: Uuid, user_id: Uuid) -> Record {
    let at = testing::start() + TimeDelta::milliseconds(i64::try_from(number).unwrap_or_default() * 100);
    let about = (tenant_id, user_id, at);
    match number % 10 {
        0..=2 => wrap(
            about,
            &LessonCompleted {
                lesson_id: tenant_id,
                course_id: tenant_id,
                user_id,
                completed_at: at,
                time_spent_minutes: 5,
            },
        ),
        3 | 4 => wrap(
            about,
            &AiFlowExecuted {
                execution_id: user_id,
                flow_name: "skill_gap_analysis".into(),
                flow_version: "v1".into(),
                status: "SUCCESS".into(),
                latency_ms: 120,
                prompt_tokens: Some(800),
                completion_tokens: Some(300),
                total_cost_usd: Decimal::new(21, 4),
            },
        ),
        5 => wrap(about, &SkillsUpdated { user_id, skill_key: "rust".into(), proficiency: 60.0 }),
        6 => wrap(about, &RoadmapCreated { roadmap_id: user_id, user_id, goal_key: "backend".into(), version: 1 }),
        7 => wrap(about, &StreakUpdated { user_id, streak_days: 4 }),
        _ => wrap(about, &MasteryScoreUpdated { user_id, skill_key: "rust".into(), score: 61.5 }),
    }
}

fn wrap<E: Event>((tenant_id, user_id, at): (Uuid, Uuid, DateTime<Utc>), event: &E) -> Record {
    let envelope = testing::envelope(tenant_id, Some(user_id), at, event);
    (E::TOPIC, user_id.to_string(), serde_json::to_vec(&envelope).expect("an envelope is JSON"))
}
