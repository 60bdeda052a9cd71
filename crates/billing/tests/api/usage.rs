use std::collections::BTreeMap;

use careeros_billing::usage::{GROUP, Usage};
use careeros_shared::{
    error::Kind,
    events::{AiFlowExecuted, Envelope},
    testing::{self, TestUser},
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, RngSeed, TestCaseResult, TestRunner},
};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{Billing, id};

/// What ai-core publishes after a run.
pub(crate) fn execution(user: &TestUser, at: DateTime<Utc>, status: &str) -> Envelope {
    let event = AiFlowExecuted {
        execution_id: id(),
        flow_name: "resume_analysis".into(),
        flow_version: "v1".into(),
        status: status.into(),
        latency_ms: 5,
        prompt_tokens: None,
        completion_tokens: None,
        total_cost_usd: Decimal::ZERO,
    };
    testing::envelope(user.tenant_id, Some(user.id), at, &event)
}

/// All counters, in order.
async fn counters(billing: &Billing) -> Vec<(Uuid, String, i64)> {
    sqlx::query_as("select holder_id, month::text, executions from ai_usage order by 1, 2")
        .fetch_all(&billing.db.admin)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_gave_an_answer_counts_in_the_month_of_its_run() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let january: DateTime<Utc> = "2026-01-31T23:59:59Z".parse().unwrap();
    let february = january + TimeDelta::seconds(1);
    let events = [
        execution(&ada, january, "SUCCESS"),
        execution(&ada, january, "PARTIAL"),
        execution(&ada, january, "FAILED"),
        execution(&ada, february, "SUCCESS"),
    ];
    testing::deliver(&billing.db, GROUP, Usage, &events).await.unwrap();
    let mut expected = Vec::new();
    for holder in [ada.tenant_id, ada.id] {
        expected.push((holder, "2026-01-01".to_owned(), 2));
        expected.push((holder, "2026-02-01".to_owned(), 1));
    }
    expected.sort();
    assert_eq!(counters(&billing).await, expected);
}

#[tokio::test]
async fn an_execution_counts_once_even_where_two_events_tell_of_it() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let first = execution(&ada, billing.now(), "SUCCESS");
    let again = Envelope { event_id: id(), ..first.clone() };
    let third = Envelope { event_id: id(), ..first.clone() };
    testing::deliver(&billing.db, GROUP, Usage, &[first.clone(), again]).await.unwrap();
    testing::deliver(&billing.db, GROUP, Usage, &[first, third]).await.unwrap();
    assert!(counters(&billing).await.iter().all(|(_, _, executions)| *executions == 1));
}

#[tokio::test]
async fn an_event_that_makes_no_sense_is_refused_and_counts_nothing() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let good = execution(&ada, billing.now(), "SUCCESS");
    let nobodys = Envelope { user_id: None, ..execution(&ada, billing.now(), "SUCCESS") };
    for bad in [execution(&ada, billing.now(), "MAYBE"), nobodys] {
        assert!(testing::deliver(&billing.db, GROUP, Usage, &[good.clone(), bad]).await.is_err());
    }
    let mut mistyped = execution(&ada, billing.now(), "SUCCESS");
    mistyped.payload["latency_ms"] = (-1).into();
    let error = testing::deliver(&billing.db, GROUP, Usage, &[mistyped]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(counters(&billing).await, []);
}

/// An execution of user `who` on a `day` at midnight or just before it, and with which status it ended.
#[derive(Debug, Clone)]
struct Run {
    who: usize,
    day: i64,
    before_midnight: bool,
    status: &'static str,
}

/// Executions, which of them are told of again, the order of arrival, and the sizes of batches.
type History = (Vec<Run>, Vec<Index>, Vec<Index>, Vec<usize>);

fn history() -> impl Strategy<Value = History> {
    let statuses = prop::sample::select(vec!["SUCCESS", "PARTIAL", "FAILED"]);
    let run = (0..USERS, 0..70_i64, any::<bool>(), statuses);
    let run = run.prop_map(|(who, day, before_midnight, status)| Run { who, day, before_midnight, status });
    (
        prop::collection::vec(run, 1..40),
        prop::collection::vec(any::<Index>(), 0..30),
        prop::collection::vec(any::<Index>(), 80),
        prop::collection::vec(1..15_usize, 1..20),
    )
}

const USERS: usize = 4;

/// The counters by a plain reading.
fn expected(users: &[TestUser], runs: &[Run], events: &[Envelope]) -> Vec<(Uuid, String, i64)> {
    let mut counters = BTreeMap::new();
    for (run, event) in runs.iter().zip(events).filter(|(run, _)| run.status != "FAILED") {
        let month = event.occurred_at.format("%Y-%m-01").to_string();
        for holder in [users[run.who].id, users[run.who].tenant_id] {
            *counters.entry((holder, month.clone())).or_insert(0) += 1;
        }
    }
    counters.into_iter().map(|((holder, month), count)| (holder, month, count)).collect()
}

/// Starts over and applies `batches`.
async fn apply(billing: &Billing, batches: &[&[Envelope]]) -> Vec<(Uuid, String, i64)> {
    sqlx::query("truncate ai_usage, metered_executions, inbox").execute(&billing.db.admin).await.unwrap();
    for batch in batches {
        testing::deliver(&billing.db, GROUP, Usage, batch).await.unwrap();
    }
    counters(billing).await
}

async fn check(billing: &Billing, users: &[TestUser], (runs, again, swaps, sizes): History) -> TestCaseResult {
    let at = |run: &Run| {
        let midnight = testing::start() + TimeDelta::hours(12) + TimeDelta::days(run.day);
        if run.before_midnight { midnight - TimeDelta::microseconds(1) } else { midnight }
    };
    let events: Vec<_> = runs.iter().map(|run| execution(&users[run.who], at(run), run.status)).collect();
    let expected = expected(users, &runs, &events);
    prop_assert_eq!(&apply(billing, &[&events]).await, &expected);

    let mut arrivals = events.clone();
    for (number, index) in again.iter().enumerate() {
        let event = events[index.index(events.len())].clone();
        // The same event, or another one of the same execution, as after a restore of its producer.
        arrivals.push(if number % 2 == 0 { event } else { Envelope { event_id: id(), ..event } });
    }
    for (position, index) in swaps.iter().enumerate() {
        let count = arrivals.len();
        arrivals.swap(position % count, index.index(count));
    }
    let (mut rest, mut batches) = (arrivals.as_slice(), Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (batch, more) = rest.split_at(rest.len().min(*size));
        batches.push(batch);
        rest = more;
    }
    prop_assert_eq!(&apply(billing, &batches).await, &expected);
    Ok(())
}

/// Whatever the order, the batches and the repetitions, the counters are those of the set of events.
#[test]
fn the_counters_are_a_function_of_the_set_of_events() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tenant = id();
    let of_one_tenant = || TestUser::new(tenant, &[]);
    let users: [TestUser; USERS] = [of_one_tenant(), of_one_tenant(), TestUser::student(), TestUser::student()];
    let billing = runtime.block_on(Billing::start(&[]));
    let rng_seed = RngSeed::Fixed(testing::seed());
    let mut runner = TestRunner::new(Config { cases: 40, rng_seed, failure_persistence: None, ..Config::default() });
    runner.run(&history(), |history| runtime.block_on(check(&billing, &users, history))).unwrap();
}
