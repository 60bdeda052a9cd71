use std::slice;

use careeros_roadmap::ai_updates::{AiUpdates, GROUP};
use careeros_shared::{
    events::{Envelope, RoadmapDraftGenerated},
    testing::{self, Answer, TestUser},
};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{World, ai::Mood, any_id, start};

const PATH: &str = "/roadmaps/interview/turn";
const ANSWERS: [&str; 5] = ["Backend Engineer", "Python, SQL", "10 hours", "6 months", "A new job; two children"];

async fn take(world: &World, user: &TestUser, draft: &Value, messages: Value) -> Answer {
    let mut body = json!({"userId": user.id, "tenantId": user.tenant_id, "messages": messages});
    if !draft.is_null() {
        body["draftId"] = draft.clone();
    }
    world.service.post(&user.token, PATH, body).await
}

/// Answers whatever is asked until the interview is complete; the last answer.
async fn talk(world: &World, user: &TestUser) -> Value {
    let mut turn = take(world, user, &Value::Null, json!([])).await.expect(200).json;
    for answer in ANSWERS {
        assert_eq!(turn["status"], "IN_PROGRESS", "{turn}");
        let message = json!([{"question": turn["next_question"], "answer": answer}]);
        turn = take(world, user, &turn["draft_id"], message).await.expect(200).json;
    }
    turn
}

/// All answers at once, to questions in other words than the service's.
fn answers() -> Value {
    ANSWERS.iter().enumerate().map(|(n, answer)| json!({"question": format!("Q{n}"), "answer": answer})).collect()
}

async fn drafts(world: &World, user: &TestUser) -> Vec<Value> {
    let listed = world.service.get(&user.token, &format!("/roadmaps/drafts/{}", user.id)).await.expect(200).json;
    listed.as_array().unwrap().clone()
}

#[tokio::test]
async fn an_interview_leads_to_a_draft_with_a_generated_roadmap() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let done = talk(&world, &ada).await;
    let runs = world.ai.runs();
    let last = runs.last().unwrap();
    assert_eq!(
        done,
        json!({"draft_id": done["draft_id"], "next_question": "", "status": "COMPLETED", "summary": "Ten weeks to go.",
            "ai_execution_id": last.execution_id})
    );
    let flows: Vec<_> = runs.iter().map(|run| run.flow.as_str()).collect();
    assert_eq!(flows, [["interview_simulation"; 5].as_slice(), &["roadmap_generator"]].concat());
    assert!(runs.iter().all(|run| run.caller == ada.id && run.user_id == ada.id.to_string()));
    assert_eq!(
        last.input,
        json!({"targetRole": "Backend Engineer", "currentSkills": "Python, SQL", "weeklyHours": 10.0,
            "timelineWeeks": 26, "motivation": "A new job; two children"})
    );

    let stored = drafts(&world, &ada).await;
    let [draft] = stored.as_slice() else { panic!("one draft expected: {stored:?}") };
    assert_eq!(draft["id"], done["draft_id"]);
    assert_eq!((&draft["status"], &draft["timeline_weeks"]), (&json!("COMPLETED"), &json!(10)));
    assert_eq!(draft["target_role"], "Backend Engineer");
    let log: Value = serde_json::from_str(draft["interview_log_json"].as_str().unwrap()).unwrap();
    let answers: Vec<_> = log.as_array().unwrap().iter().map(|message| &message["answer"]).collect();
    assert_eq!(answers, ANSWERS);
    let nodes: Value = serde_json::from_str(draft["roadmap_nodes_json"].as_str().unwrap()).unwrap();
    let labels: Vec<_> = nodes.as_array().unwrap().iter().map(|node| &node["label"]).collect();
    assert_eq!(labels, ["Foundation", "Projects"]);
}

#[tokio::test]
async fn every_turn_asks_for_something_that_is_still_open() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    *world.ai.next_question.lock().unwrap() = "Which role do you dream of?".to_owned();
    let first = take(&world, &ada, &Value::Null, json!([])).await.expect(200).json;
    assert_eq!(first["next_question"], "Which role do you dream of?", "the model may choose the words");
    assert_eq!(first["ai_execution_id"], json!(world.ai.runs()[0].execution_id));

    let message = json!([{"question": first["next_question"], "answer": "Data Analyst"}]);
    let second = take(&world, &ada, &first["draft_id"], message).await.expect(200).json;
    assert_eq!(second["next_question"], "Which skills and what experience do you bring for it already?");
    assert_eq!(second["summary"], "Goal: Data Analyst");
    assert_eq!(
        world.ai.runs()[1].input["answers"],
        json!([{"question": first["next_question"], "answer": "Data Analyst"}])
    );
}

#[tokio::test]
async fn a_failed_execution_does_not_stop_the_questions() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    world.ai.set(Mood::Fails);
    let turn = take(&world, &ada, &Value::Null, json!([])).await.expect(200).json;
    assert_eq!(turn["next_question"], "Which role are you aiming for, and at which level: junior, middle or senior?");
}

#[tokio::test]
async fn nothing_is_stored_that_ai_core_has_not_answered() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    world.ai.set(Mood::IsAway);
    take(&world, &ada, &Value::Null, json!([])).await.expect(503);
    world.ai.set(Mood::Denies);
    let denied = take(&world, &ada, &Value::Null, json!([])).await.expect(403);
    assert_eq!((&denied.json["blocked"], &denied.json["reason"]), (&json!(true), &json!("the monthly quota is spent")));
    assert!(drafts(&world, &ada).await.is_empty());

    world.ai.set(Mood::Answers);
    let turn = take(&world, &ada, &Value::Null, json!([])).await.expect(200).json;
    let before = drafts(&world, &ada).await;
    for (mood, status) in [(Mood::IsAway, 503), (Mood::Denies, 403), (Mood::Fails, 503)] {
        world.ai.set(mood);
        take(&world, &ada, &turn["draft_id"], answers()).await.expect(status);
        assert_eq!(drafts(&world, &ada).await, before);
    }
}

#[tokio::test]
async fn a_complete_interview_is_told_again_but_not_continued() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let done = talk(&world, &ada).await;
    let runs = world.ai.runs().len();
    assert_eq!(take(&world, &ada, &done["draft_id"], json!([])).await.expect(200).json, done);
    let more = json!([{"question": "Anything else?", "answer": "Yes"}]);
    let refused = take(&world, &ada, &done["draft_id"], more).await.expect(409);
    assert_eq!(refused.json["code"], "interview_completed");
    assert_eq!(world.ai.runs().len(), runs);
}

#[tokio::test]
async fn what_was_drawn_before_the_interview_stays_on_the_canvas() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let node = json!({"id": "mine", "label": "Mine", "progress": 5, "x": 0, "y": 0});
    let body = json!({"roadmapNodes": [node], "targetRole": "DevOps Engineer"});
    let made = world.service.post(&ada.token, "/roadmaps/drafts", body).await.expect(201).json;
    take(&world, &ada, &made["id"], answers()).await.expect(200);
    let draft = drafts(&world, &ada).await.remove(0);
    let nodes: Vec<Value> = serde_json::from_str(draft["roadmap_nodes_json"].as_str().unwrap()).unwrap();
    assert_eq!((nodes.len(), &nodes[0]), (3, &node));
    assert_eq!(world.ai.runs()[0].input["targetRole"], "DevOps Engineer");
}

/// The event of an execution that generated a roadmap.
fn generated(user: &TestUser, execution_id: Uuid) -> Envelope {
    let event = RoadmapDraftGenerated { execution_id, stages: vec!["Foundation".into()], timeline_weeks: 10 };
    testing::envelope(user.tenant_id, Some(user.id), testing::start(), &event)
}

#[tokio::test]
async fn the_event_of_an_interviews_execution_makes_no_second_draft() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let done = talk(&world, &ada).await;
    let execution_id = Uuid::try_parse(done["ai_execution_id"].as_str().unwrap()).unwrap();
    let event = generated(&ada, execution_id);
    testing::deliver(&world.db, GROUP, AiUpdates, slice::from_ref(&event)).await.unwrap();
    let stored = drafts(&world, &ada).await;
    assert_eq!((stored.len(), &stored[0]["id"]), (1, &done["draft_id"]));
}

#[tokio::test]
async fn the_interview_takes_over_the_draft_of_an_event_that_came_first() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let execution_id = any_id();
    testing::deliver(&world.db, GROUP, AiUpdates, &[generated(&ada, execution_id)]).await.unwrap();
    assert_eq!(drafts(&world, &ada).await.len(), 1);
    *world.ai.next_execution.lock().unwrap() = Some(execution_id);
    let done = take(&world, &ada, &Value::Null, answers()).await.expect(200).json;
    assert_eq!((&done["status"], &done["ai_execution_id"]), (&json!("COMPLETED"), &json!(execution_id)));
    let stored = drafts(&world, &ada).await;
    assert_eq!((stored.len(), &stored[0]["id"]), (1, &done["draft_id"]));
}

#[tokio::test]
async fn of_two_turns_at_once_none_loses_its_answers() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let turn = take(&world, &ada, &Value::Null, json!([])).await.expect(200).json;
    let said: Vec<_> =
        (0..4).map(|n| json!({"question": format!("How many hours, try {n}?"), "answer": "5"})).collect();
    let taken = join_all(said.iter().map(|message| take(&world, &ada, &turn["draft_id"], json!([message])))).await;
    let log = drafts(&world, &ada).await[0]["interview_log_json"].as_str().unwrap().to_owned();
    let log: Vec<Value> = serde_json::from_str(&log).unwrap();
    for (message, answer) in said.iter().zip(taken) {
        match answer.status.as_u16() {
            200 => assert!(log.contains(message), "{log:?}"),
            _ => assert_eq!(answer.expect(409).json["code"], "draft_changed"),
        }
    }
    assert!(!log.is_empty());
}

#[tokio::test]
async fn a_retry_with_the_same_key_is_one_turn() {
    let ada = TestUser::student();
    let world = start(&[&ada]).await;
    let body = json!({"messages": []});
    let first = world.service.post_once(&ada.token, PATH, "k", body.clone()).await.expect(200).json;
    let again = world.service.post_once(&ada.token, PATH, "k", body).await.expect(200).json;
    assert_eq!(first, again);
    let runs = world.ai.runs();
    assert_eq!((runs.len(), &runs[0].idempotency_key), (1, &None), "the key is the turn's, not the flow's");
    assert_eq!(world.count("roadmap_drafts").await, 1);
}

#[tokio::test]
async fn bad_input_and_strangers_are_refused() {
    let ada = TestUser::student();
    let eve = TestUser::new(ada.tenant_id, &[careeros_shared::identity::Role::Student]);
    let world = start(&[&ada, &eve]).await;
    let turn = take(&world, &ada, &Value::Null, json!([])).await.expect(200).json;
    take(&world, &eve, &turn["draft_id"], json!([])).await.expect(404);
    take(&world, &ada, &json!(any_id()), json!([])).await.expect(404);
    world.service.post(&eve.token, PATH, json!({"userId": ada.id, "messages": []})).await.expect(403);
    world.service.post("", PATH, json!({"messages": []})).await.expect(401);
    let many = vec![json!({"question": "q", "answer": "a"}); 51];
    for (body, field) in [
        (json!({}), "messages"),
        (json!({"messages": "hello"}), "messages"),
        (json!({"messages": [{"answer": "a"}]}), "messages[0].question"),
        (
            json!({"messages": [{"question": "q", "answer": "a"}, {"question": " ", "answer": "a"}]}),
            "messages[1].question",
        ),
        (json!({"messages": [{"question": "q", "answer": "x".repeat(4001)}]}), "messages[0].answer"),
        (json!({"messages": [{"question": "q", "answer": "a", "score": 1}]}), "messages[0].score"),
        (json!({"messages": many}), "messages"),
        (json!({"messages": [], "draftId": "42"}), "draftId"),
        (json!({"messages": [], "goal": "x"}), "goal"),
    ] {
        let answer = world.service.post(&ada.token, PATH, body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
    assert_eq!(world.ai.runs().len(), 1);
}
