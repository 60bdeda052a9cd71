use std::slice;

use careeros_roadmap::ai_updates::{AiUpdates, GROUP};
use careeros_shared::{
    events::{Envelope, RoadmapDraftGenerated, SkillGapAnalyzed},
    testing::{self, TestUser},
};
use chrono::TimeDelta;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
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

#[tokio::test]
async fn tables_are_a_function_of_the_set_of_events() {
    let (ada, eve) = (TestUser::student(), TestUser::student());
    let world = start(&[&ada, &eve]).await;
    let (first, second, third) = (any_id(), any_id(), any_id());
    let events = vec![
        generated(&ada, first, 1, &["A"]),
        generated(&ada, second, 2, &["A", "B"]),
        generated(&eve, third, 2, &["C"]),
        analyzed(&ada, 1, &["sql"]),
        analyzed(&ada, 4, &["rust"]),
        analyzed(&ada, 4, &["go"]),
        analyzed(&eve, 2, &["sql"]),
    ];
    deliver(&world, &events).await;
    let expected = tables(&world).await;
    assert_eq!(expected.len(), 5);

    let twice = Just([events.clone(), events].concat()).prop_shuffle();
    let cases = (twice, 1_usize..5);
    let mut runner = TestRunner::deterministic();
    for _ in 0..25 {
        sqlx::query("truncate roadmap_drafts, skill_gaps, inbox").execute(&world.db.admin).await.unwrap();
        let (order, batch) = cases.new_tree(&mut runner).unwrap().current();
        for events in order.chunks(batch) {
            deliver(&world, events).await;
        }
        assert_eq!(tables(&world).await, expected);
    }
}

#[tokio::test]
async fn what_is_no_valid_event_is_refused_and_leaves_nothing() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let mut nobodys = analyzed(&ada, 1, &["sql"]);
    nobodys.user_id = None;
    let mut broken = generated(&ada, any_id(), 1, &["A"]);
    broken.payload["stages"] = json!("A");
    for bad in [nobodys, broken] {
        let batch = [generated(&ada, any_id(), 1, &["A"]), bad];
        let refused = testing::deliver(&world.db, GROUP, AiUpdates, &batch).await.unwrap_err();
        assert!(!refused.is_transient());
    }
    assert!(tables(&world).await.is_empty());
}
