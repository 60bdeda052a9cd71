use std::time::{Duration, Instant};

use careeros_shared::testing::TestUser;
use serde_json::{Value, json};

use crate::{
    model::{ModelServer, Reply},
    start_with,
};

/// A valid output of the productivity advisor.
fn advice() -> Value {
    json!({"observations": [], "recommendations": ["Rest."], "next_week_plan": [{"day": "Monday", "task": "Rest"}]})
}

/// The status and the outcomes of the calls of an execution by `models`.
async fn run(models: &[&ModelServer]) -> (String, Vec<String>) {
    let ada = TestUser::student();
    let harness = start_with(&[&ada], models).await;
    let answer = harness.execute(&ada, "productivity_advisor", json!({"minutes": 90})).await.expect(200);
    let events = harness.db.outbox().await;
    let calls = events.iter().filter(|(_, _, event)| event.event_type == "ModelCallCompleted");
    let outcomes = calls.map(|(_, _, event)| event.payload["outcome"].as_str().unwrap().to_owned()).collect();
    (answer.json["status"].as_str().unwrap().to_owned(), outcomes)
}

fn expected(status: &str, outcomes: &[&str]) -> (String, Vec<String>) {
    (status.to_owned(), outcomes.iter().map(|&outcome| outcome.to_owned()).collect())
}

#[tokio::test]
async fn a_model_gets_its_key_its_rules_and_the_input_as_data() {
    let model = ModelServer::start("m", [Reply::json(&advice())]).await;
    assert_eq!(run(&[&model]).await, expected("SUCCESS", &["ok"]));
    let (headers, body) = model.calls().remove(0);
    assert_eq!(headers["authorization"], "Bearer a-key");
    assert_eq!((&body["model"], &body["response_format"]["type"]), (&json!("m"), &json!("json_object")));
    assert_eq!(body["messages"][0]["role"], "system");
    assert!(body["messages"][0]["content"].as_str().unwrap().contains("next_week_plan"));
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "{\"minutes\":90}"}));
}

#[tokio::test]
async fn rate_limits_are_waited_for_as_the_server_asks() {
    let limited = Reply::Status(429, Some(("retry-after", "1")));
    let model = ModelServer::start("m", [limited, Reply::json(&advice())]).await;
    let started = Instant::now();
    assert_eq!(run(&[&model]).await, expected("SUCCESS", &["rate_limited", "ok"]));
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_rate_limit_that_lasts_too_long_goes_to_the_next_model() {
    let first = ModelServer::start("a", [Reply::Status(429, Some(("retry-after", "60")))]).await;
    let second = ModelServer::start("b", [Reply::json(&advice())]).await;
    assert_eq!(run(&[&first, &second]).await, expected("PARTIAL", &["rate_limited", "ok"]));
}

#[tokio::test]
async fn errors_of_the_server_are_tried_again() {
    let model =
        ModelServer::start("m", [Reply::Status(500, None), Reply::Status(503, None), Reply::json(&advice())]).await;
    assert_eq!(run(&[&model]).await, expected("SUCCESS", &["server_error", "server_error", "ok"]));
}

#[tokio::test]
async fn a_slow_model_is_given_up_and_the_backup_answers() {
    let slow = ModelServer::start("a", [Reply::Hang, Reply::Hang, Reply::Hang]).await;
    let backup = ModelServer::start("b", [Reply::json(&advice())]).await;
    let (status, outcomes) = run(&[&slow, &backup]).await;
    assert_eq!(status, "PARTIAL");
    assert_eq!((outcomes.first().unwrap().as_str(), outcomes.last().unwrap().as_str()), ("timeout", "ok"));
}

#[tokio::test]
async fn a_refusal_is_final_for_its_model() {
    let refusing = ModelServer::start("a", [Reply::Status(401, None), Reply::json(&advice())]).await;
    let backup = ModelServer::start("b", [Reply::json(&advice())]).await;
    assert_eq!(run(&[&refusing, &backup]).await, expected("PARTIAL", &["refused", "ok"]));
    assert_eq!(refusing.calls().len(), 1);
}

#[tokio::test]
async fn answers_that_are_not_of_the_protocol_or_not_valid_are_not_taken() {
    for reply in [
        Reply::Body("<html>gateway</html>"),
        Reply::Body(r#"{"choices": []}"#),
        Reply::Body(r#"{"choices": [{"message": {"content": null}}]}"#),
    ] {
        let model = ModelServer::start("m", [reply]).await;
        assert_eq!(run(&[&model]).await, expected("PARTIAL", &["malformed"]));
    }
    for text in ["I am sorry.", "{\"observations\": [", "{\"observations\": [], \"recommendations\": []}"] {
        let model = ModelServer::start("m", [Reply::Text(text.to_owned())]).await;
        assert_eq!(run(&[&model]).await, expected("PARTIAL", &["invalid_output"]), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_json_mode_is_asked_without_it_from_then_on() {
    let text = advice().to_string();
    let replies = [Reply::WithoutJsonMode(text.clone()), Reply::WithoutJsonMode(text)];
    let model = ModelServer::start("m", replies).await;
    let ada = TestUser::student();
    let harness = start_with(&[&ada], &[&model]).await;
    for _ in 0..2 {
        let answer = harness.execute(&ada, "productivity_advisor", json!({})).await.expect(200);
        assert_eq!(answer.json["status"], "SUCCESS");
    }
    let formats: Vec<bool> = model.calls().iter().map(|(_, body)| body.get("response_format").is_some()).collect();
    assert_eq!(formats, [true, false, false]);
}

#[tokio::test]
async fn a_server_that_is_not_there_does_not_stop_anybody() {
    let gone = ModelServer::start("a", []).await;
    let endpoint_only = ModelServer::start("b", [Reply::json(&advice())]).await;
    gone.stop().await;
    let (status, outcomes) = run(&[&gone, &endpoint_only]).await;
    assert_eq!((status.as_str(), outcomes.last().unwrap().as_str()), ("PARTIAL", "ok"));
    assert!(outcomes[..outcomes.len() - 1].iter().all(|outcome| outcome == "connection_error"));
}
