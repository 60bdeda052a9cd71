use crate::{any_id, start};
use careeros_shared::{identity::Role, testing::TestUser};
use chrono::TimeDelta;
use serde_json::{Value, json};

fn parsed(draft: &Value, field: &str) -> Value {
    serde_json::from_str(draft[field].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_draft_that_says_nothing_has_its_defaults() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let draft = world.service.post(&ada.token, "/roadmaps/drafts", json!({})).await.expect(201).json;
    assert_eq!(
        draft,
        json!({
            "id": draft["id"], "user_id": ada.id, "tenant_id": ada.tenant_id, "title": "Roadmap draft",
            "target_role": "", "target_grade": "", "status": "DRAFT", "interview_log_json": "[]",
            "roadmap_nodes_json": "[]", "canvas_viewport_json": r#"{"x":0,"y":0,"scale":1}"#,
            "created_at": "2026-01-06T12:00:00.000000Z", "updated_at": "2026-01-06T12:00:00.000000Z",
            "timeline_weeks": null
        })
    );
}

#[tokio::test]
async fn a_canvas_update_changes_what_it_names_and_nothing_else() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let log = json!([{"question": "Why?", "answer": ""}]);
    let nodes = json!([{"y": 2.5, "id": "n1", "label": "Rust", "progress": 10, "x": -3}]);
    let body = json!({
        "userId": ada.id, "tenantId": ada.tenant_id, "title": "Mine", "targetRole": "Engineer", "targetGrade": "senior",
        "interviewLog": log, "roadmapNodes": nodes, "canvasViewport": {"x": 1, "y": 2, "scale": 0.5}
    });
    let made = world.service.post(&ada.token, "/roadmaps/drafts", body).await.expect(201).json;
    assert_eq!(made["roadmap_nodes_json"], nodes.to_string(), "as it was sent, in its order");

    world.clock.advance(TimeDelta::minutes(1));
    let path = format!("/roadmaps/drafts/{}/canvas", made["id"].as_str().unwrap());
    let viewport = json!({"x": 7, "y": 8, "scale": 2});
    let body = json!({"userId": ada.id, "canvasViewport": viewport});
    let moved = world.service.patch(&ada.token, &path, body).await.expect(200).json;
    assert_eq!(parsed(&moved, "canvas_viewport_json"), viewport);
    for field in
        ["id", "title", "target_role", "target_grade", "interview_log_json", "roadmap_nodes_json", "created_at"]
    {
        assert_eq!(moved[field], made[field], "{field}");
    }
    assert_eq!(moved["updated_at"], "2026-01-06T12:01:00.000000Z");

    let more = json!([{"id": "n2", "label": "SQL", "progress": 0, "x": 0, "y": 0}]);
    let body = json!({"canvasViewport": viewport, "roadmapNodes": more});
    let drawn = world.service.patch(&ada.token, &path, body).await.expect(200).json;
    assert_eq!(parsed(&drawn, "roadmap_nodes_json"), more);
    let listed = world.service.get(&ada.token, &format!("/roadmaps/drafts/{}", ada.id)).await.expect(200).json;
    assert_eq!(listed, json!([drawn]));
}

#[tokio::test]
async fn drafts_are_listed_newest_first_in_pages() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    for title in ["one", "two", "three"] {
        world.service.post(&ada.token, "/roadmaps/drafts", json!({"title": title})).await.expect(201);
        world.clock.advance(TimeDelta::seconds(1));
    }
    let path = format!("/roadmaps/drafts/{}", ada.id);
    let titles = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|draft| draft["title"].as_str().unwrap().to_owned()).collect()
    };
    let bare = world.service.get(&ada.token, &path).await.expect(200).json;
    assert_eq!(titles(&bare), ["three", "two", "one"]);

    let gateway = careeros_rest::roadmaps::routes(world.service.transport.clone());
    let gateway =
        careeros_shared::testing::TestService::new(&world.clock, tonic::service::Routes::default(), |_| gateway);
    let whole = gateway.get(&ada.token, &path).await.expect(200).json;
    assert_eq!((titles(&whole["items"]), &whole["next_cursor"]), (titles(&bare), &json!("")));
    let first = gateway.get(&ada.token, &format!("{path}?limit=2")).await.expect(200).json;
    assert_eq!(titles(&first["items"]), ["three", "two"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = gateway.get(&ada.token, &format!("{path}?limit=2&cursor={cursor}")).await.expect(200).json;
    assert_eq!((titles(&second["items"]), &second["next_cursor"]), (vec!["one".to_owned()], &json!("")));
    for (query, field) in [("limit=101", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor"), ("page=2", "page")] {
        assert_eq!(gateway.get(&ada.token, &format!("{path}?{query}")).await.expect(400).fields(), [field]);
    }
}

#[tokio::test]
async fn a_retry_with_the_same_key_makes_one_draft() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let first = world.service.post_once(&ada.token, "/roadmaps/drafts", "k", json!({"title": "x"})).await.expect(201);
    let again = world.service.post_once(&ada.token, "/roadmaps/drafts", "k", json!({"title": "x"})).await.expect(201);
    assert_eq!(first.json, again.json);
    assert_eq!(world.count("roadmap_drafts").await, 1);
    world.service.post_once(&ada.token, "/roadmaps/drafts", "k", json!({"title": "y"})).await.expect(422);
}

#[tokio::test]
async fn bad_input_is_named_by_its_path() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let node = |field: &str, value: Value| {
        let mut node = json!({"id": "n", "label": "l", "progress": 0, "x": 0, "y": 0});
        node[field] = value;
        json!([node])
    };
    for (body, field) in [
        (json!({"title": " "}), "title"),
        (json!({"title": "x".repeat(256)}), "title"),
        (json!({"title": 1}), "title"),
        (json!({"targetRole": "x".repeat(256)}), "targetRole"),
        (json!({"targetGrade": "x".repeat(256)}), "targetGrade"),
        (json!({"status": "ACTIVE"}), "status"),
        (json!({"interviewLog": "hello"}), "interviewLog"),
        (json!({"interviewLog": [{"question": "q"}]}), "interviewLog[0].answer"),
        (json!({"interviewLog": [{"question": "q", "answer": 1}]}), "interviewLog[0].answer"),
        (
            json!({"interviewLog": [{"question": "q", "answer": "a"}, {"question": "", "answer": "a"}]}),
            "interviewLog[1].question",
        ),
        (json!({"interviewLog": [{"question": "q", "answer": "a", "by": "x"}]}), "interviewLog[0].by"),
        (json!({"interviewLog": [{"question": "q", "answer": "a\u{0}"}]}), "interviewLog[0].answer"),
        (json!({"roadmapNodes": node("progress", json!(101))}), "roadmapNodes[0].progress"),
        (json!({"roadmapNodes": node("x", json!("1"))}), "roadmapNodes[0].x"),
        (json!({"roadmapNodes": node("label", json!(""))}), "roadmapNodes[0].label"),
        (json!({"roadmapNodes": node("color", json!("red"))}), "roadmapNodes[0].color"),
        (json!({"canvasViewport": {"x": 0, "y": 0}}), "canvasViewport.scale"),
        (json!({"canvasViewport": {"x": 0, "y": 0, "scale": -1}}), "canvasViewport.scale"),
        (json!({"canvasViewport": []}), "canvasViewport"),
    ] {
        let answer = world.service.post(&ada.token, "/roadmaps/drafts", body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
    assert_eq!(world.count("roadmap_drafts").await, 0);

    let made = world.service.post(&ada.token, "/roadmaps/drafts", json!({})).await.expect(201).json;
    let path = format!("/roadmaps/drafts/{}/canvas", made["id"].as_str().unwrap());
    let viewport = json!({"x": 0, "y": 0, "scale": 1});
    for (body, field) in [
        (json!({}), "canvasViewport"),
        (json!({"canvasViewport": {"x": 0, "y": "0", "scale": 1}}), "canvasViewport.y"),
        (json!({"canvasViewport": viewport, "roadmapNodes": node("id", json!(7))}), "roadmapNodes[0].id"),
        (json!({"canvasViewport": viewport, "title": "x"}), "title"),
    ] {
        assert_eq!(world.service.patch(&ada.token, &path, body).await.expect(400).fields(), [field]);
    }
    let body = json!({"canvasViewport": viewport});
    assert_eq!(
        world.service.patch(&ada.token, "/roadmaps/drafts/42/canvas", body).await.expect(400).fields(),
        ["draftId"]
    );
}

#[tokio::test]
async fn only_the_owners_drafts_are_found() {
    let tenant = any_id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let eve = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let stranger = TestUser::student();
    let world = start(&[&ada, &eve, &admin, &stranger]).await;
    let made = world.service.post(&ada.token, "/roadmaps/drafts", json!({})).await.expect(201).json;
    let path = format!("/roadmaps/drafts/{}/canvas", made["id"].as_str().unwrap());
    let body = json!({"canvasViewport": {"x": 9, "y": 9, "scale": 1}});
    let mut for_ada = body.clone();
    for_ada["userId"] = json!(ada.id);
    for nosy in [&eve, &stranger] {
        world.service.patch(&nosy.token, &path, body.clone()).await.expect(404);
        world.service.patch(&nosy.token, &path, for_ada.clone()).await.expect(403);
        world.service.get(&nosy.token, &format!("/roadmaps/drafts/{}", ada.id)).await.expect(403);
        world.service.post(&nosy.token, "/roadmaps/drafts", json!({"userId": ada.id})).await.expect(403);
        let own = world.service.get(&nosy.token, &format!("/roadmaps/drafts/{}", nosy.id)).await.expect(200);
        assert_eq!(own.json, json!([]));
    }
    let unknown = format!("/roadmaps/drafts/{}/canvas", any_id());
    world.service.patch(&ada.token, &unknown, body.clone()).await.expect(404);
    world.service.patch("", &path, body).await.expect(401);
    world.service.post("", "/roadmaps/drafts", json!({})).await.expect(401);
    world.service.get("", &format!("/roadmaps/drafts/{}", ada.id)).await.expect(401);
    let listed = world.service.get(&ada.token, &format!("/roadmaps/drafts/{}", ada.id)).await.expect(200);
    assert_eq!(listed.json, json!([made]));
    world.service.patch(&admin.token, &path, for_ada).await.expect(200);
}
