use crate::{any_id, dates, start};
use careeros_shared::{identity::Role, testing::TestUser};
use futures::future::join_all;
use serde_json::{Value, json};

fn goal(key: &str) -> Value {
    json!({"goalKey": key, "targetRole": "Backend Engineer"})
}

#[tokio::test]
async fn a_roadmap_has_its_default_stages_over_twelve_weeks() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let body =
        json!({"userId": ada.id, "tenantId": ada.tenant_id, "goalKey": "backend", "targetRole": "Backend Engineer"});
    let created = world.service.post(&ada.token, "/roadmaps", body).await.expect(201).json;
    let id = created["roadmap_id"].as_str().unwrap();
    assert_eq!(created, json!({"roadmap_id": id, "version": 1, "status": "ACTIVE"}));

    let roadmap = world.show(&ada, id).await;
    let titles: Vec<_> = roadmap["stages"].as_array().unwrap().iter().map(|stage| &stage["title"]).collect();
    assert_eq!(titles, ["Foundation", "Core Skills", "Projects", "Interview Prep"]);
    assert_eq!(
        dates(&roadmap),
        [
            ("2026-01-06", "2026-01-26"),
            ("2026-01-27", "2026-02-16"),
            ("2026-02-17", "2026-03-09"),
            ("2026-03-10", "2026-03-30")
        ]
    );
    let stage = &roadmap["stages"][0];
    assert_eq!((&stage["stage_order"], &stage["status"]), (&json!(1), &json!("PENDING")));
    assert_eq!(stage["milestones"][0]["due_date"], "2026-01-26");
    assert_eq!(stage["milestones"][0]["status"], "PENDING");
    assert_eq!(
        (&roadmap["user_id"], &roadmap["goal_key"], &roadmap["timeline_weeks"], &roadmap["created_at"]),
        (&json!(ada.id), &json!("backend"), &json!(12), &json!("2026-01-06T12:00:00.000000Z"))
    );

    let outbox = world.db.outbox().await;
    let [(topic, key, event)] = outbox.as_slice() else { panic!("one event expected: {outbox:?}") };
    assert_eq!((topic.as_str(), key.as_str()), ("careeros.roadmap.roadmap-created.v1", id));
    assert_eq!(event.payload, json!({"roadmap_id": id, "user_id": ada.id, "goal_key": "backend", "version": 1}));
    assert_eq!(
        (event.tenant_id.as_str(), event.source.as_str()),
        (ada.tenant_id.to_string().as_str(), "roadmap-service")
    );
}

#[tokio::test]
async fn stages_and_weeks_are_as_asked_for() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let id = world.roadmap(&ada).await;
    let roadmap = world.show(&ada, &id).await;
    assert_eq!(dates(&roadmap), [("2026-01-06", "2026-01-19"), ("2026-01-20", "2026-02-02")]);
    let tight = json!({"goalKey": "g", "targetRole": "r", "timelineWeeks": 1, "stageTitles": ["a", "b", "c", "d", "e", "f", "g"]});
    world.service.post(&ada.token, "/roadmaps", tight).await.expect(201);
}

#[tokio::test]
async fn the_newest_roadmap_to_a_goal_supersedes_the_one_before() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let active = format!("/roadmaps/active/{}", ada.id);
    let none = world.service.get(&ada.token, &active).await.expect(200);
    assert_eq!(none.json, json!({"roadmap_id": "", "version": 0, "status": "NOT_FOUND"}));

    let first = world.roadmap(&ada).await;
    let second = world.service.post(&ada.token, "/roadmaps", goal("backend")).await.expect(201).json;
    assert_eq!(second["version"], 2);
    assert_eq!(world.service.get(&ada.token, &active).await.expect(200).json, second);
    assert_eq!(world.show(&ada, &first).await["status"], "SUPERSEDED");
    assert_eq!(world.events().await, ["RoadmapCreated", "RoadmapCreated", "RoadmapUpdated superseded"]);

    let other = world.service.post(&ada.token, "/roadmaps", goal("data")).await.expect(201).json;
    assert_eq!(other["version"], 1);
    assert_eq!(world.service.get(&ada.token, &active).await.expect(200).json, other);
    assert_eq!(world.show(&ada, second["roadmap_id"].as_str().unwrap()).await["status"], "ACTIVE");
}

#[tokio::test]
async fn roadmaps_made_at_once_get_a_version_each_and_one_stays_active() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let answers = join_all((0..6).map(|_| world.service.post(&ada.token, "/roadmaps", goal("backend")))).await;
    let mut versions: Vec<_> = answers.into_iter().map(|a| a.expect(201).json["version"].as_i64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    let active: Vec<i32> = sqlx::query_scalar("select version from roadmaps where status = 'ACTIVE'")
        .fetch_all(&world.db.admin)
        .await
        .unwrap();
    assert_eq!(active, [6]);
}

#[tokio::test]
async fn a_further_roadmap_to_a_goal_changes_the_goal_of_its_user_alone() {
    let (ada, bob) = (TestUser::student(), TestUser::student());
    let world = start(&[&ada, &bob]).await;
    // Two users may have goals of the same name.
    for user in [&ada, &bob] {
        let first = world.service.post(&user.token, "/roadmaps", goal("backend")).await.expect(201).json;
        assert_eq!(first["version"], 1);
    }
    let again = json!({"goalKey": "backend", "targetRole": "Lead", "timelineWeeks": 30});
    let second = world.service.post(&ada.token, "/roadmaps", again).await.expect(201).json;
    assert_eq!(second["version"], 2);
    let goals: Vec<(String, i32)> =
        sqlx::query_as("select target_role, latest_version from career_goals order by latest_version")
            .fetch_all(&world.db.admin)
            .await
            .unwrap();
    assert_eq!(goals[1], ("Lead".to_owned(), 2));
    assert_ne!(goals[0].0, "Lead");
}

#[tokio::test]
async fn half_a_roadmap_never_stays() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    world.roadmap(&ada).await;
    for sql in [
        "create function fail() returns trigger language plpgsql as $$ begin raise exception 'no more'; end $$",
        "create trigger fail after insert on milestones for each row when (new.milestone_order > 1) execute function fail()",
    ] {
        sqlx::query(sql).execute(&world.db.admin).await.unwrap();
    }
    let body = json!({"goalKey": "backend", "targetRole": "x", "timelineWeeks": 52});
    let failed = world.service.post(&ada.token, "/roadmaps", body).await.expect(500);
    assert!(!failed.text.contains("no more"), "{}", failed.text);
    let rows = [world.count("roadmaps").await, world.count("stages").await, world.count("milestones").await];
    assert_eq!(rows, [1, 2, 2]);
    assert_eq!(world.events().await, ["RoadmapCreated"]);
    let active = world.service.get(&ada.token, &format!("/roadmaps/active/{}", ada.id)).await.expect(200).json;
    assert_eq!((&active["version"], &active["status"]), (&json!(1), &json!("ACTIVE")));
}

#[tokio::test]
async fn a_retry_with_the_same_key_makes_one_roadmap() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let first = world.service.post_once(&ada.token, "/roadmaps", "k", goal("backend")).await.expect(201).json;
    let again = world.service.post_once(&ada.token, "/roadmaps", "k", goal("backend")).await.expect(201).json;
    assert_eq!(first, again);
    assert_eq!(world.count("roadmaps").await, 1);
    world.service.post_once(&ada.token, "/roadmaps", "k", goal("data")).await.expect(422);
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let with = |field: &str, value: Value| {
        let mut body = goal("backend");
        body[field] = value;
        body
    };
    for (body, field) in [
        (json!({"targetRole": "r"}), "goalKey"),
        (json!({"goalKey": "g"}), "targetRole"),
        (with("goalKey", json!(" ")), "goalKey"),
        (with("goalKey", json!("x".repeat(129))), "goalKey"),
        (with("targetRole", json!("x".repeat(256))), "targetRole"),
        (with("targetRole", json!("a\u{0}b")), "targetRole"),
        (with("timelineWeeks", json!(0)), "timelineWeeks"),
        (with("timelineWeeks", json!(521)), "timelineWeeks"),
        (with("timelineWeeks", json!("12")), "timelineWeeks"),
        (with("timelineWeeks", json!(1.5)), "timelineWeeks"),
        (with("stageTitles", json!(["a", ""])), "stageTitles[1]"),
        (with("stageTitles", json!(["a", 7])), "stageTitles[1]"),
        (with("stageTitles", json!(vec!["a"; 21])), "stageTitles"),
        (with("userId", json!("42")), "userId"),
        (with("status", json!("ACTIVE")), "status"),
    ] {
        let answer = world.service.post(&ada.token, "/roadmaps", body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
    let crowded = json!({"goalKey": "g", "targetRole": "r", "timelineWeeks": 1, "stageTitles": vec!["a"; 8]});
    assert_eq!(world.service.post(&ada.token, "/roadmaps", crowded).await.expect(400).fields(), ["stageTitles"]);
    for path in ["/roadmaps/42", "/roadmaps/active/42"] {
        let answer = world.service.get(&ada.token, path).await.expect(400);
        assert!(["roadmapId", "userId"].contains(&answer.fields()[0]), "{}", answer.text);
    }
    assert_eq!(world.count("career_goals").await, 0);
    assert!(world.events().await.is_empty());
}

#[tokio::test]
async fn the_token_decides_whose_roadmap_it_is() {
    let tenant = any_id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let eve = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let stranger = TestUser::new(any_id(), &[Role::Admin]);
    let operator = TestUser::new(any_id(), &[Role::Operator]);
    let world = start(&[&ada, &eve, &admin, &stranger, &operator]).await;
    let id = world.roadmap(&ada).await;
    let path = format!("/roadmaps/{id}");

    world.service.get("", &path).await.expect(401);
    world.service.post("", "/roadmaps", json!("not even an object")).await.expect(401);
    world.service.get(&admin.token, &path).await.expect(200);
    world.service.get(&operator.token, &path).await.expect(200);
    for nosy in [&eve, &stranger] {
        let theirs = world.service.get(&nosy.token, &path).await.expect(404);
        let nobodys = world.service.get(&nosy.token, &format!("/roadmaps/{}", any_id())).await.expect(404);
        assert_eq!(theirs.json["detail"], nobodys.json["detail"]);
        world.service.get(&nosy.token, &format!("/roadmaps/active/{}", ada.id)).await.expect(403);
        let mut body = goal("backend");
        body["userId"] = json!(ada.id);
        world.service.post(&nosy.token, "/roadmaps", body).await.expect(403);
    }
    world.service.get(&operator.token, &format!("/roadmaps/{}", any_id())).await.expect(404);
    let mut body = goal("backend");
    body["tenantId"] = json!(stranger.tenant_id);
    world.service.post(&ada.token, "/roadmaps", body).await.expect(403);

    let mut body = goal("data");
    body["userId"] = json!(ada.id);
    let made = world.service.post(&admin.token, "/roadmaps", body).await.expect(201).json;
    let active = world.service.get(&ada.token, &format!("/roadmaps/active/{}", ada.id)).await.expect(200).json;
    assert_eq!(active, made);
}

#[tokio::test]
async fn row_level_security_hides_what_a_query_forgets_to_filter() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    world.roadmap(&ada).await;
    for table in ["career_goals", "roadmaps", "stages", "milestones"] {
        let count = || sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let mut own = world.db.begin(ada.tenant_id).await.unwrap();
        assert!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&mut *own).await.unwrap() > 0, "{table}");
        let mut other = world.db.begin(any_id()).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&mut *other).await.unwrap(), 0, "{table}");
    }
}
