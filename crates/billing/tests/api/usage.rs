use careeros_billing::usage::{GROUP, Usage};
use careeros_shared::{
    error::Kind,
    events::{AiFlowExecuted, Envelope},
    testing::{self, TestUser},
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::{prelude::*, sample::Index};
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order, the batches and the repetitions, the counters are those of the set of events.
    #[test]
    fn the_counters_are_a_function_of_the_set_of_events(
        kinds in proptest::collection::vec((0..3_usize, 0..3_usize, 0..70_i64), 1..30),
        swaps in proptest::collection::vec((any::<Index>(), any::<Index>()), 0..60),
        again in proptest::collection::vec(any::<Index>(), 0..15),
        batch in 1..10_usize,
    ) {
        let tenant = id();
        let users = [TestUser::new(tenant, &[]), TestUser::new(tenant, &[]), TestUser::student()];
        let events: Vec<_> = kinds
            .iter()
            .map(|&(user, status, days)| {
                execution(&users[user], testing::start() + TimeDelta::days(days), ["SUCCESS", "PARTIAL", "FAILED"][status])
            })
            .collect();
        let mut arrivals = events.clone();
        arrivals.extend(again.iter().map(|index| events[index.index(events.len())].clone()));
        for (a, b) in swaps {
            let count = arrivals.len();
            arrivals.swap(a.index(count), b.index(count));
        }
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (ordered, shuffled) = (Billing::start(&[]).await, Billing::start(&[]).await);
            testing::deliver(&ordered.db, GROUP, Usage, &events).await.unwrap();
            for arrivals in arrivals.chunks(batch) {
                testing::deliver(&shuffled.db, GROUP, Usage, arrivals).await.unwrap();
            }
            let (ordered, shuffled) = (counters(&ordered).await, counters(&shuffled).await);
            assert_eq!(ordered, shuffled);
            let counted = kinds.iter().filter(|(_, status, _)| *status < 2).count();
            let total: i64 = ordered.iter().map(|(_, _, executions)| executions).sum();
            assert_eq!(total, 2 * i64::try_from(counted).unwrap(), "once for the user, once for the tenant");
        });
    }
}
