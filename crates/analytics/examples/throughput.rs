//! How many events a second the projections take, from records' bytes to committed rows, in batches as the runner makes
//! them; the broker left out.
//!
//! `TEST_DATABASE_URL=postgres://… cargo run --release -p careeros-analytics --example throughput -- [events] [tenants] [users]`

#![expect(clippy::print_stdout, reason = "it is for a person at a terminal")]
#![expect(clippy::expect_used, reason = "a measurement that cannot be set up has to fail")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

use std::time::Instant;

use careeros_analytics::{
    MIGRATIONS, daily,
    events::{GROUP, Projections},
};
use careeros_shared::{
    events::{
        AiFlowExecuted, Envelope, LessonCompleted, MasteryScoreUpdated, RoadmapCreated, SkillsUpdated, StreakUpdated,
    },
    testing::{self, TestDb},
};
use chrono::TimeDelta;
use rust_decimal::Decimal;
use uuid::Uuid;

/// As many as the runner puts into one transaction.
const BATCH: usize = 1000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().expect("a number"));
    let mut next = |default| arguments.next().unwrap_or(default);
    let (events, tenants, users) = (next(200_000_usize), next(100), next(10_000));
    let tenants: Vec<Uuid> = (0..tenants)
        .map(|_| careeros_shared::id::new(testing::start()))
        .collect();
    let users: Vec<Uuid> = (0..users).map(|_| careeros_shared::id::new(testing::start())).collect();
    let records: Vec<Vec<u8>> = (0..events)
        .map(|number| {
            // Spread like a hash, the same in every run.
            let user = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let user = user % users.len();
            let envelope = event(number, tenants[user % tenants.len()], users[user]);
            serde_json::to_vec(&envelope).expect("an envelope is JSON")
        })
        .collect();
    let db = TestDb::new(&MIGRATIONS).await;
    let started = Instant::now();
    let mut slowest = 0.0_f64;
    for batch in records.chunks(BATCH) {
        let began = Instant::now();
        let batch: Vec<_> = batch
            .iter()
            .map(|record| Envelope::parse(record).expect("a valid envelope"))
            .collect();
        testing::deliver(&db, GROUP, Projections, &batch)
            .await
            .expect("the batch applies");
        slowest = slowest.max(began.elapsed().as_secs_f64());
    }
    let took = started.elapsed().as_secs_f64();
    println!(
        "{events} events in {took:.2} s: {:.0} events/s; slowest batch {:.0} ms",
        events as f64 / took,
        slowest * 1e3
    );
    let started = Instant::now();
    while daily::step(&db, testing::start() + TimeDelta::hours(6))
        .await
        .expect("the days can be counted")
    {}
    println!(
        "daily KPIs of {} tenants in {:.2} s",
        tenants.len(),
        started.elapsed().as_secs_f64()
    );
}

/// The mix of a learning day: half of it is what users do, the rest what follows from it. Ten events fall into a second.
fn event(number: usize, tenant_id: Uuid, user_id: Uuid) -> Envelope {
    let at = testing::start() + TimeDelta::milliseconds(i64::try_from(number).unwrap_or_default() * 100);
    let user = Some(user_id);
    match number % 10 {
        0..=2 => testing::envelope(
            tenant_id,
            user,
            at,
            &LessonCompleted {
                lesson_id: tenant_id,
                course_id: tenant_id,
                user_id,
                completed_at: at,
                time_spent_minutes: 5,
            },
        ),
        3 | 4 => testing::envelope(
            tenant_id,
            user,
            at,
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
        5 => testing::envelope(
            tenant_id,
            user,
            at,
            &SkillsUpdated {
                user_id,
                skill_key: "rust".into(),
                proficiency: 60.0,
            },
        ),
        6 => testing::envelope(
            tenant_id,
            user,
            at,
            &RoadmapCreated {
                roadmap_id: user_id,
                user_id,
                goal_key: "backend".into(),
                version: 1,
            },
        ),
        7 => testing::envelope(
            tenant_id,
            user,
            at,
            &StreakUpdated {
                user_id,
                streak_days: 4,
            },
        ),
        _ => testing::envelope(
            tenant_id,
            user,
            at,
            &MasteryScoreUpdated {
                user_id,
                skill_key: "rust".into(),
                score: 61.5,
            },
        ),
    }
}
