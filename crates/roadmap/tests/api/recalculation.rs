use crate::{World, any_id, dates, milestones, start};
use careeros_shared::{identity::Role, testing::TestUser};
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;

/// Moves the clock; the tokens of before are expired then, so this returns the same user with a new one.
fn later(world: &World, user: &TestUser, days: i64) -> TestUser {
    world.clock.advance(TimeDelta::days(days));
    TestUser::at(user.id, user.tenant_id, &[Role::Student], world.clock.now().timestamp())
}

async fn recalculate(world: &World, user: &TestUser, id: &str) {
    let done = world.service.patch(&user.token, &format!("/roadmaps/{id}/recalculate"), json!({})).await.expect(200);
    assert_eq!(done.json, json!({"ok": true}));
}

#[tokio::test]
async fn a_plan_that_can_be_kept_stands() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let id = world.roadmap(&ada).await;
    let before = world.show(&ada, &id).await;
    let ada = later(&world, &ada, 13);
    recalculate(&world, &ada, &id).await;
    assert_eq!(world.show(&ada, &id).await, before);
    assert_eq!(world.events().await, ["RoadmapCreated"]);
}

#[tokio::test]
async fn what_is_left_is_planned_anew_and_what_is_finished_stays() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let id = world.roadmap(&ada).await;
    let before = world.show(&ada, &id).await;

    // The first stage should have ended on day 14; it is day 21.
    let ada = later(&world, &ada, 20);
    recalculate(&world, &ada, &id).await;
    let moved = world.show(&ada, &id).await;
    assert_eq!(dates(&moved), [("2026-01-06", "2026-01-29"), ("2026-01-30", "2026-02-02")]);
    assert_eq!(moved["stages"][0]["milestones"][0]["due_date"], "2026-01-29");
    assert_eq!(moved["stages"][1]["milestones"][0]["due_date"], "2026-02-02");
    assert_eq!(moved["updated_at"], "2026-01-26T12:00:00.000000Z");
    recalculate(&world, &ada, &id).await;
    assert_eq!(
        world.events().await,
        ["RoadmapCreated", "RoadmapUpdated recalculated"],
        "the second time nothing changed"
    );

    // With the first stage finished, and the end of the timeline passed, only the second one moves, by as little as it can.
    for milestone in milestones(&before, 0) {
        let body = json!({"milestoneId": milestone});
        world.service.patch(&ada.token, "/roadmaps/milestones/complete", body).await.expect(200);
    }
    let ada = later(&world, &ada, 30);
    recalculate(&world, &ada, &id).await;
    let late = world.show(&ada, &id).await;
    assert_eq!(dates(&late), [("2026-01-06", "2026-01-29"), ("2026-01-30", "2026-02-25")]);
    assert_eq!(late["stages"][0], {
        let mut finished = moved["stages"][0].clone();
        finished["status"] = json!("COMPLETED");
        finished["milestones"][0]["status"] = json!("COMPLETED");
        finished["milestones"][0]["completed_at"] = json!("2026-01-26T12:00:00.000000Z");
        finished
    });
    let (_, key, event) = world.db.outbox().await.pop().unwrap();
    assert_eq!(key, id);
    assert_eq!(event.payload, json!({"roadmap_id": id, "user_id": ada.id, "version": 1, "change": "recalculated"}));
}

#[tokio::test]
async fn recalculating_at_once_is_recalculating_once() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let id = world.roadmap(&ada).await;
    let ada = later(&world, &ada, 20);
    join_all((0..4).map(|_| recalculate(&world, &ada, &id))).await;
    assert_eq!(world.events().await, ["RoadmapCreated", "RoadmapUpdated recalculated"]);
}

#[tokio::test]
async fn a_superseded_roadmap_stays_as_it_was() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let (old, _new) = (world.roadmap(&ada).await, world.roadmap(&ada).await);
    let before = world.show(&ada, &old).await;
    let ada = later(&world, &ada, 20);
    recalculate(&world, &ada, &old).await;
    assert_eq!(world.show(&ada, &old).await, before);
}

#[tokio::test]
async fn it_takes_no_body_and_the_owner() {
    let tenant = any_id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let eve = TestUser::new(tenant, &[Role::Student]);
    let stranger = TestUser::student();
    let world = start(&[&ada, &eve, &stranger]).await;
    let path = format!("/roadmaps/{}/recalculate", world.roadmap(&ada).await);
    let bare = |token: &str| {
        let request = axum::http::Request::patch(&path).header("authorization", format!("Bearer {token}"));
        request.body(axum::body::Body::empty()).unwrap()
    };
    assert_eq!(world.service.send(bare(&ada.token)).await.expect(200).json, json!({"ok": true}));
    for nosy in [&eve, &stranger] {
        world.service.send(bare(&nosy.token)).await.expect(404);
    }
    world.service.patch("", &path, json!({})).await.expect(401);
    let unknown = format!("/roadmaps/{}/recalculate", any_id());
    world.service.patch(&ada.token, &unknown, json!({})).await.expect(404);
    let answer = world.service.patch(&ada.token, "/roadmaps/42/recalculate", json!({})).await.expect(400);
    assert_eq!(answer.fields(), ["roadmapId"]);
}
