use std::{collections::BTreeMap, slice};

use careeros_roadmap::ai_updates::{AiUpdates, GROUP};
use careeros_shared::{
    events::{Envelope, RoadmapDraftGenerated, SkillGapAnalyzed},
    testing::{self, TestUser},
};
use chrono::TimeDelta;
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, RngSeed, TestCaseResult, TestRunner},
};
use serde_json::{Value, json};
use sqlx::Row;
use uuid::Uuid;

use crate::{World, any_id, start};

fn generated(user: &TestUser, execution_id: Uuid, minute: i64, stages: &[&str]) -> Envelope {
    let stages = stages.iter().map(|stage| (*stage).to_owned()).collect();
    let event = RoadmapDraftGenerated { execution_id, stages, timeline_weeks: 8 };
    testing::envelope(user.tenant_id, Some(user.id), testing::start() + TimeDelta::minutes(minute), &event)
}

fn analyzed(user: &TestUser, minute: i64, skills: &[&str]) -> Envelope {
    let skills: Vec<_> = skills.iter().map(|skill| (*skill).to_owned()).collect();
    let event = SkillGapAnalyzed { execution_id: any_id(), missing_skills: skills.clone(), priority_order: skills };
    testing::envelope(user.tenant_id, Some(user.id), testing::start() + TimeDelta::minutes(minute), &event)
}

async fn deliver(world: &World, events: &[Envelope]) {
    testing::deliver(&world.db, GROUP, AiUpdates, events).await.unwrap();
}

/// Everything that the consumer writes, in a fixed order.
async fn tables(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for sql in [
        "select to_jsonb(d)::text from roadmap_drafts d order by id",
        "select to_jsonb(g)::text from skill_gaps g order by user_id",
    ] {
        let found = sqlx::query(sql).fetch_all(&world.db.admin).await.unwrap();
        rows.extend(found.iter().map(|row| row.get::<String, _>(0)));
    }
    rows
}

#[tokio::test]
async fn a_generated_roadmap_becomes_a_draft_of_its_user() {
    let ada = TestUser::student();
    let eve = TestUser::new(ada.tenant_id, &[careeros_shared::identity::Role::Student]);
    let world = start(&[&ada, &eve]).await;
    let execution_id = any_id();
    let event = generated(&ada, execution_id, 5, &["Foundation", " ", "Projects"]);
    deliver(&world, slice::from_ref(&event)).await;
    deliver(&world, slice::from_ref(&event)).await;
    // The same execution told twice, as after a restore of the producer.
    deliver(&world, &[generated(&ada, execution_id, 5, &["Foundation", "Projects"])]).await;

    let listed = world.service.get(&ada.token, &format!("/roadmaps/drafts/{}", ada.id)).await.expect(200).json;
    let [draft] = listed.as_array().unwrap().as_slice() else { panic!("one draft expected: {listed}") };
    assert_eq!((&draft["status"], &draft["timeline_weeks"]), (&json!("DRAFT"), &json!(8)));
    assert_eq!(draft["created_at"], "2026-01-06T12:05:00.000000Z");
    let nodes: Value = serde_json::from_str(draft["roadmap_nodes_json"].as_str().unwrap()).unwrap();
    let labels: Vec<_> = nodes.as_array().unwrap().iter().map(|node| &node["label"]).collect();
    assert_eq!(labels, ["Foundation", "Projects"]);
    let theirs = world.service.get(&eve.token, &format!("/roadmaps/drafts/{}", eve.id)).await.expect(200).json;
    assert_eq!(theirs, json!([]));

    // And from it a roadmap with dates.
    let body =
        json!({"goalKey": "g", "targetRole": "r", "timelineWeeks": draft["timeline_weeks"], "stageTitles": labels});
    world.service.post(&ada.token, "/roadmaps", body).await.expect(201);
}

#[tokio::test]
async fn a_new_roadmap_takes_its_skills_from_the_newest_analysis() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    deliver(&world, &[analyzed(&ada, 9, &["sql", "rust", "sql"]), analyzed(&ada, 3, &["cobol"])]).await;
    deliver(&world, &[analyzed(&ada, 1, &["fortran"])]).await;
    let id = world.roadmap(&ada).await;
    assert_eq!(
        world.show(&ada, &id).await["skills"],
        json!([{"skill_key": "sql", "target_proficiency": 70.0}, {"skill_key": "rust", "target_proficiency": 70.0}])
    );
}

/// What AI core tells of user `who`, `minute`s and `nanos` after the clock's time.
#[derive(Debug, Clone)]
enum Happening {
    Draft {
        who: usize,
        minute: i64,
        nanos: i64,
        stages: usize,
    },
    Gap {
        who: usize,
        minute: i64,
        nanos: i64,
        skills: usize,
    },
    /// The same execution as of an earlier one, told again in an event of its own, as after a restore of AI core.
    Again {
        of: Index,
    },
}

/// Happenings, the order in which their events arrive, some of them several times, and the sizes of batches.
type History = (Vec<Happening>, Vec<Index>, Vec<usize>);

fn history() -> impl Strategy<Value = History> {
    // A few minutes and parts of a microsecond, so that many are at the same time, or as good as.
    let of = || (0..3_usize, 0..4_i64, prop::sample::select(vec![0_i64, 100, 600, 999, 1000]), 0..STAGES.len());
    let happening = prop_oneof![
        3 => of().prop_map(|(who, minute, nanos, stages)| Happening::Draft { who, minute, nanos, stages }),
        3 => of().prop_map(|(who, minute, nanos, skills)| Happening::Gap { who, minute, nanos, skills }),
        1 => any::<Index>().prop_map(|of| Happening::Again { of }),
    ];
    let happenings = prop::collection::vec(happening, 1..30);
    (happenings, prop::collection::vec(any::<Index>(), 60), prop::collection::vec(1..12_usize, 1..100))
}

const STAGES: [&[&str]; 4] = [&[], &["sql"], &["rust", "sql"], &["go", "rust", "sql"]];

fn events(users: &[TestUser], happenings: &[Happening]) -> Vec<Envelope> {
    let mut events: Vec<Envelope> = Vec::new();
    for happening in happenings {
        let (mut event, nanos) = match happening {
            Happening::Draft { who, minute, nanos, stages } => {
                (generated(&users[*who], any_id(), *minute, STAGES[*stages]), *nanos)
            }
            Happening::Gap { who, minute, nanos, skills } => (analyzed(&users[*who], *minute, STAGES[*skills]), *nanos),
            Happening::Again { of } if !events.is_empty() => {
                (Envelope { event_id: any_id(), ..events[of.index(events.len())].clone() }, 0)
            }
            Happening::Again { .. } => continue,
        };
        event.occurred_at += TimeDelta::nanoseconds(nanos);
        events.push(event);
    }
    events
}

/// The skills of each user by a plain reading: those of the newest analysis.
fn expected_gaps(events: &[Envelope]) -> BTreeMap<String, Value> {
    let mut newest = BTreeMap::new();
    for event in events.iter().filter(|event| event.is::<SkillGapAnalyzed>()) {
        let execution_id: Uuid = event.payload["execution_id"].as_str().unwrap().parse().unwrap();
        let rank = (event.occurred_at.timestamp_micros(), execution_id);
        let entry = newest.entry(event.user_id.clone().unwrap()).or_insert((rank, Value::Null));
        if rank >= entry.0 {
            *entry = (rank, event.payload["missing_skills"].clone());
        }
    }
    newest.into_iter().map(|(user_id, (_, skills))| (user_id, skills)).collect()
}

/// Starts over and applies `batches`.
async fn apply<'a>(world: &World, batches: impl IntoIterator<Item = &'a [Envelope]>) -> Vec<String> {
    sqlx::query("truncate roadmap_drafts, skill_gaps, inbox").execute(&world.db.admin).await.unwrap();
    for batch in batches {
        deliver(world, batch).await;
    }
    tables(world).await
}

async fn check(
    calm: &World,
    wild: &World,
    users: &[TestUser],
    (happenings, arrivals, sizes): History,
) -> TestCaseResult {
    let events = events(users, &happenings);
    let mut chronological = events.clone();
    chronological.sort_by_key(|event| (event.occurred_at, event.event_id));
    let expected = apply(calm, chronological.chunks(1)).await;
    // Each at least once, and wherever chance puts it.
    let mut order = events.clone();
    for (position, index) in arrivals.iter().enumerate() {
        if !events.is_empty() && position % 3 == 0 {
            order.insert(index.index(order.len() + 1), events[arrivals[position + 1].index(events.len())].clone());
        } else if !order.is_empty() {
            let (a, b) = (position % order.len(), index.index(order.len()));
            order.swap(a, b);
        }
    }
    let mut rest = order.as_slice();
    let mut batches = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (batch, more) = rest.split_at(rest.len().min(*size));
        batches.push(batch);
        rest = more;
    }
    prop_assert_eq!(&apply(wild, batches).await, &expected);
    let stored: Vec<(String, Value)> = sqlx::query_as("select user_id::text, to_jsonb(missing_skills) from skill_gaps")
        .fetch_all(&wild.db.admin)
        .await
        .unwrap();
    prop_assert_eq!(stored.into_iter().collect::<BTreeMap<_, _>>(), expected_gaps(&events));
    Ok(())
}

#[test]
fn tables_are_a_function_of_the_set_of_events() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ada = TestUser::student();
    let users = [TestUser::new(ada.tenant_id, &[]), TestUser::student(), ada];
    let (calm, wild) = runtime.block_on(async { (start(&[]).await, start(&[]).await) });
    let rng_seed = RngSeed::Fixed(testing::seed());
    let mut runner = TestRunner::new(Config { cases: 40, rng_seed, failure_persistence: None, ..Config::default() });
    runner.run(&history(), |history| runtime.block_on(check(&calm, &wild, &users, history))).unwrap();
}

#[tokio::test]
async fn what_is_no_valid_event_is_refused_and_leaves_nothing() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let mut nobodys = analyzed(&ada, 1, &["sql"]);
    nobodys.user_id = None;
    let mut broken = generated(&ada, any_id(), 1, &["A"]);
    broken.payload["stages"] = json!("A");
    let newer = Envelope { event_version: 2, ..generated(&ada, any_id(), 1, &["A"]) };
    let other = Envelope { event_type: "RoadmapForgotten".into(), ..generated(&ada, any_id(), 1, &["A"]) };
    for bad in [nobodys, broken, newer, other] {
        let batch = [generated(&ada, any_id(), 1, &["A"]), bad];
        let refused = testing::deliver(&world.db, GROUP, AiUpdates, &batch).await.unwrap_err();
        assert!(!refused.is_transient());
    }
    assert!(tables(&world).await.is_empty());
}
