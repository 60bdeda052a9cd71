//! Dead letters of services that run.

use std::collections::BTreeSet;

use careeros_billing::usage::GROUP;
use careeros_ops::dlq::{self, DeadLetter, Filter, Place, REPLAYED_FROM, Which};
use careeros_shared::{
    events::{AiFlowExecuted, Event},
    testing::{TestDb, eventually},
};
use rdkafka::{
    Message as _,
    message::{Headers as _, OwnedMessage},
};
use uuid::Uuid;

use crate::{Bench, Running, Sent, number, sent};

const TOPIC: &str = AiFlowExecuted::TOPIC;
/// The user whose events billing cannot apply while it is broken.
const UNLUCKY: u128 = 13;

fn flow(user: u128) -> Sent {
    sent(
        user,
        1,
        &AiFlowExecuted {
            execution_id: careeros_shared::testing::id(),
            flow_name: "skill_gap_analysis".to_owned(),
            flow_version: "v1".to_owned(),
            status: "SUCCESS".to_owned(),
            latency_ms: 5,
            prompt_tokens: None,
            completion_tokens: None,
            total_cost_usd: 1.into(),
        },
    )
}

/// Billing and analytics, which both read the topic; billing's handler fails on the unlucky user until it is mended.
struct Scene {
    bench: Bench,
    billing_db: TestDb,
    analytics_db: TestDb,
    services: [Running; 2],
}

impl Scene {
    async fn start() -> Self {
        let bench = Bench::start().await;
        let billing_db = TestDb::new(&careeros_billing::MIGRATIONS).await;
        let analytics_db = TestDb::new(&careeros_analytics::MIGRATIONS).await;
        sqlx::query(
            "alter table ai_usage add constraint broken check (holder_id <> '00000000-0000-0000-0000-00000000000d')",
        )
        .execute(&billing_db.admin)
        .await
        .unwrap();
        let services = [
            bench.service(&billing_db, careeros_billing::run).await,
            bench.service(&analytics_db, careeros_analytics::run).await,
        ];
        Self { bench, billing_db, analytics_db, services }
    }

    async fn mend(&self) {
        sqlx::query("alter table ai_usage drop constraint broken").execute(&self.billing_db.admin).await.unwrap();
    }

    async fn list(&self, all: bool) -> Vec<DeadLetter> {
        let filter = Filter { topic: Some(TOPIC.to_owned()), group: Some(GROUP.to_owned()) };
        dlq::list(&self.bench.ops, &filter, all, 100).await.unwrap().records
    }

    async fn dead(&self, count: usize) -> Vec<DeadLetter> {
        eventually("the dead letters are there", async || self.list(false).await.len() == count).await;
        self.list(false).await
    }

    /// How often billing and analytics have counted the unlucky user.
    async fn counted(&self) -> (i64, i64) {
        let billing = number(
            &self.billing_db,
            "select coalesce(sum(executions), 0)::bigint from ai_usage where holder_id::text like '%00d'",
        );
        let analytics = number(
            &self.analytics_db,
            "select coalesce(sum(total_runs), 0)::bigint from ai_usage_analytics where user_id::text like '%00d'",
        );
        (billing.await, analytics.await)
    }

    async fn stop(self) {
        for service in self.services {
            service.stop().await;
        }
    }
}

fn one(letter: &DeadLetter, again: bool) -> Which {
    Which::One { place: letter.place.clone(), again }
}

fn headers(record: &OwnedMessage) -> Vec<(String, String)> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
    record.headers().unwrap().iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
}

#[tokio::test]
async fn a_replayed_record_is_applied_exactly_once_however_often_it_is_replayed() {
    let scene = Scene::start().await;
    let ops = &scene.bench.ops;
    for user in [1, UNLUCKY, 1] {
        scene.bench.send_event(&flow(user)).await;
    }
    let letter = scene.dead(1).await.remove(0);
    eventually("analytics has it", async || scene.counted().await == (0, 1)).await;

    // Replayed too early it dies again, as another record.
    dlq::replay(ops, &one(&letter, false)).await.unwrap();
    eventually("it is dead again", async || scene.list(true).await.len() == 2).await;
    let second = scene.dead(1).await.remove(0);
    assert_ne!(second.place, letter.place);

    scene.mend().await;
    let replayed = dlq::replay(ops, &one(&second, false)).await.unwrap();
    eventually("billing has it", async || scene.counted().await == (1, 1)).await;
    assert!(scene.dead(0).await.is_empty());
    let states: Vec<_> = scene.list(true).await.into_iter().map(|letter| letter.resolution.unwrap().how).collect();
    assert_eq!(states, ["replayed", "replayed"]);

    // The record is as its producer wrote it, and says where it comes from.
    let to = replayed.records[0].to.clone().unwrap();
    let record = ops.record(&to.topic, to.partition, to.offset).await.unwrap().unwrap();
    let from = format!("{TOPIC}.dlq/{}/{}", second.place.partition, second.place.offset);
    assert_eq!(headers(&record), [("correlation_id".to_owned(), "c-1".to_owned()), (REPLAYED_FROM.to_owned(), from)]);
    assert_eq!(record.key(), Some(Uuid::from_u128(UNLUCKY).to_string().as_bytes()));

    let refused = dlq::replay(ops, &one(&second, false)).await.unwrap_err().to_string();
    assert!(refused.contains("replayed before") && refused.contains("--again"), "{refused}");
    dlq::replay(ops, &one(&second, true)).await.unwrap();
    // The next event of the same key comes after all of these.
    scene.bench.send_event(&flow(UNLUCKY)).await;
    eventually("the next event is applied", async || scene.counted().await == (2, 2)).await;
    scene.stop().await;
}

#[tokio::test]
async fn all_records_of_a_group_are_replayed_and_those_of_others_are_not() {
    let scene = Scene::start().await;
    let ops = &scene.bench.ops;
    for _ in 0..25 {
        scene.bench.send_event(&flow(UNLUCKY)).await;
    }
    scene.bench.send(TOPIC, "somebody", "{ not json").await;
    // The malformed record is dead for both groups.
    scene.dead(26).await;
    eventually("analytics has it", async || scene.counted().await == (0, 25)).await;
    let malformed = |letters: Vec<DeadLetter>| letters.into_iter().find(|letter| letter.event_type.is_none()).unwrap();
    let discarded = malformed(scene.list(false).await);
    dlq::discard(ops, &one(&discarded, false)).await.unwrap();
    assert_eq!(scene.list(false).await.len(), 25);

    scene.mend().await;
    let filter = Filter { topic: None, group: Some(GROUP.to_owned()) };
    let replayed = dlq::replay(ops, &Which::All(filter.clone())).await.unwrap();
    let places: BTreeSet<Place> = replayed.records.iter().map(|record| record.place.clone()).collect();
    assert_eq!((places.len(), places.contains(&discarded.place)), (25, false));
    eventually("billing has them", async || scene.counted().await == (25, 25)).await;

    let nothing = dlq::replay(ops, &Which::All(filter)).await.unwrap();
    assert!(nothing.records.is_empty() && nothing.to_string().contains("nothing to do"));
    let others = dlq::list(ops, &Filter::default(), false, 100).await.unwrap();
    let groups: Vec<_> = others.records.iter().map(|letter| letter.group.as_deref().unwrap()).collect();
    assert_eq!(groups, ["analytics-global-v1"]);
    scene.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_all_that_it_holds() {
    let scene = Scene::start().await;
    let ops = &scene.bench.ops;
    let event = flow(UNLUCKY);
    scene.bench.send_event(&event).await;
    scene.bench.send(TOPIC, "somebody", "{ not\u{7} json").await;
    let letters = scene.dead(2).await;
    let (malformed, failed): (Vec<_>, Vec<_>) = letters.into_iter().partition(|letter| letter.event_type.is_none());

    let detail = dlq::show(ops, &failed[0].place).await.unwrap();
    assert_eq!(detail.value.as_ref().unwrap(), &serde_json::to_value(&event.envelope).unwrap());
    assert_eq!(detail.letter.origin.as_ref().unwrap().topic, TOPIC);
    assert!(detail.letter.error.as_deref().unwrap().contains("broken"), "{:?}", detail.letter.error);
    let text = detail.to_string();
    assert!(text.contains(GROUP) && text.contains("correlation_id: c-1") && text.contains("\"event_type\""), "{text}");

    let detail = dlq::show(ops, &malformed[0].place).await.unwrap();
    assert_eq!((detail.value, detail.raw.as_deref()), (None, Some("{ not\\x07 json")));

    let nowhere = Place { offset: 4711, ..failed[0].place.clone() };
    let error = dlq::show(ops, &nowhere).await.unwrap_err().to_string();
    assert!(error.contains("4711") && error.contains("dlq list"), "{error}");
    dlq::discard(ops, &one(&failed[0], false)).await.unwrap();
    let shown = dlq::show(ops, &failed[0].place).await.unwrap();
    assert_eq!(shown.letter.resolution.unwrap().how, "discarded");
    scene.stop().await;
}

#[tokio::test]
async fn a_record_whose_value_is_only_at_its_origin_is_replayed_from_there() {
    let scene = Scene::start().await;
    let mut event = flow(UNLUCKY);
    // With the headers of a dead letter it is larger than a producer takes, which is 1,000,000 bytes.
    let rest = serde_json::to_string(&event.envelope).unwrap().len();
    let name = event.envelope.payload["flow_name"].as_str().unwrap().to_owned();
    event.envelope.payload["flow_name"] = format!("{name}{}", "x".repeat(999_900 - rest)).into();
    scene.bench.send_event(&event).await;
    let letter = scene.dead(1).await.remove(0);
    let detail = dlq::show(&scene.bench.ops, &letter.place).await.unwrap();
    assert!(detail.headers.iter().any(|(name, _)| name == "dlq.omitted") && detail.value.is_none());
    scene.mend().await;
    dlq::replay(&scene.bench.ops, &one(&letter, false)).await.unwrap();
    eventually("billing has it", async || scene.counted().await.0 == 1).await;
    assert!(scene.dead(0).await.is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn where_nothing_is_dead_the_list_is_empty() {
    let bench = Bench::start().await;
    let list = dlq::list(&bench.ops, &Filter::default(), true, 10).await.unwrap();
    assert_eq!((list.total, list.to_string().as_str()), (0, "No dead letters."));
}
