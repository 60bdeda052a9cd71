use crate::{World, any_id, milestones, start};
use careeros_shared::{identity::Role, testing::TestUser};
use futures::future::join_all;
use serde_json::{Value, json};

const PATH: &str = "/roadmaps/milestones/complete";

async fn complete(world: &World, user: &TestUser, milestone: &str) {
    let body = json!({"milestoneId": milestone, "userId": user.id, "tenantId": user.tenant_id});
    assert_eq!(world.service.patch(&user.token, PATH, body).await.expect(200).json, json!({"ok": true}));
}

fn statuses(roadmap: &Value) -> (&str, Vec<&str>) {
    let stages = roadmap["stages"].as_array().unwrap();
    (roadmap["status"].as_str().unwrap(), stages.iter().map(|stage| stage["status"].as_str().unwrap()).collect())
}

#[tokio::test]
async fn milestones_move_their_stage_and_the_last_one_the_roadmap() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let body = json!({"goalKey": "g", "targetRole": "r", "timelineWeeks": 9, "stageTitles": ["Long", "Long too"]});
    let created = world.service.post(&ada.token, "/roadmaps", body).await.expect(201).json;
    let id = created["roadmap_id"].as_str().unwrap();
    let roadmap = world.show(&ada, id).await;
    let (first, second) = (milestones(&roadmap, 0), milestones(&roadmap, 1));
    assert_eq!((first.len(), second.len()), (2, 2), "{roadmap}");

    complete(&world, &ada, &first[0]).await;
    assert_eq!(statuses(&world.show(&ada, id).await), ("ACTIVE", vec!["IN_PROGRESS", "PENDING"]));
    complete(&world, &ada, &first[1]).await;
    assert_eq!(statuses(&world.show(&ada, id).await), ("ACTIVE", vec!["COMPLETED", "PENDING"]));
    complete(&world, &ada, &second[1]).await;
    complete(&world, &ada, &second[0]).await;
    let done = world.show(&ada, id).await;
    assert_eq!(statuses(&done), ("COMPLETED", vec!["COMPLETED", "COMPLETED"]));
    assert_eq!(done["stages"][1]["milestones"][0]["completed_at"], "2026-01-06T12:00:00.000000Z");
    let active = world.service.get(&ada.token, &format!("/roadmaps/active/{}", ada.id)).await.expect(200);
    assert_eq!(active.json["status"], "NOT_FOUND");

    assert_eq!(
        world.events().await,
        [
            "RoadmapCreated",
            "MilestoneCompleted",
            "RoadmapUpdated stage_started",
            "MilestoneCompleted",
            "RoadmapUpdated stage_completed",
            "MilestoneCompleted",
            "RoadmapUpdated stage_started",
            "MilestoneCompleted",
            "RoadmapUpdated completed",
        ]
    );
    let outbox = world.db.outbox().await;
    assert!(outbox.iter().all(|(_, key, _)| key == id), "all are the roadmap's events");
    let (topic, _, event) = &outbox[1];
    assert_eq!(topic, "careeros.roadmap.milestone-completed.v1");
    assert_eq!(event.payload["milestone_id"], json!(first[0]));
    assert_eq!(event.payload["roadmap_id"], id);
    assert_eq!(event.user_id, Some(ada.id.to_string()));
}

#[tokio::test]
async fn completing_again_changes_nothing() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let id = world.roadmap(&ada).await;
    let milestone = milestones(&world.show(&ada, &id).await, 0).remove(0);
    join_all((0..4).map(|_| complete(&world, &ada, &milestone))).await;
    let before = world.show(&ada, &id).await;
    world.clock.advance(chrono::TimeDelta::minutes(5));
    complete(&world, &ada, &milestone).await;
    assert_eq!(world.show(&ada, &id).await, before);
    assert_eq!(world.events().await, ["RoadmapCreated", "MilestoneCompleted", "RoadmapUpdated stage_completed"]);
}

#[tokio::test]
async fn the_last_two_milestones_at_once_complete_the_roadmap() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let id = world.roadmap(&ada).await;
    let roadmap = world.show(&ada, &id).await;
    let all: Vec<_> = (0..2).flat_map(|stage| milestones(&roadmap, stage)).collect();
    join_all(all.iter().map(|milestone| complete(&world, &ada, milestone))).await;
    assert_eq!(world.show(&ada, &id).await["status"], "COMPLETED");
}

#[tokio::test]
async fn only_the_owners_milestones_are_found() {
    let tenant = any_id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let eve = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let stranger = TestUser::student();
    let world = start(&[&ada, &eve, &admin, &stranger]).await;
    let id = world.roadmap(&ada).await;
    let milestone = milestones(&world.show(&ada, &id).await, 0).remove(0);
    for nosy in [&eve, &stranger] {
        world.service.patch(&nosy.token, PATH, json!({"milestoneId": milestone})).await.expect(404);
        let body = json!({"milestoneId": milestone, "userId": ada.id});
        world.service.patch(&nosy.token, PATH, body).await.expect(403);
    }
    world.service.patch(&ada.token, PATH, json!({"milestoneId": any_id()})).await.expect(404);
    world.service.patch("", PATH, json!({"milestoneId": milestone})).await.expect(401);
    for (body, field) in [
        (json!({}), "milestoneId"),
        (json!({"milestoneId": "42"}), "milestoneId"),
        (json!({"milestoneId": milestone, "tenantId": "x"}), "tenantId"),
        (json!({"milestoneId": milestone, "done": true}), "done"),
    ] {
        assert_eq!(world.service.patch(&ada.token, PATH, body).await.expect(400).fields(), [field]);
    }
    assert_eq!(world.events().await, ["RoadmapCreated"]);
    let body = json!({"milestoneId": milestone, "userId": ada.id});
    world.service.patch(&admin.token, PATH, body).await.expect(200);
}
