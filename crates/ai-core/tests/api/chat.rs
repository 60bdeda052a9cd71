use careeros_shared::{
    proto::aicore::{
        ChatMentorRequest, ChatMessage, ai_core_service_client::AiCoreServiceClient, chat_mentor_chunk::Kind,
    },
    testing::{self, TestUser},
};
use serde_json::{Value, json};

use crate::{
    Harness,
    model::{ModelServer, Reply},
    start, start_with,
};

fn asking(text: &str) -> Value {
    json!({"mode": "career", "messages": [{"role": "user", "content": text}]})
}

/// The events of a streamed answer: names and data.
async fn stream(harness: &Harness, user: &TestUser) -> Vec<(String, Value)> {
    let answer = harness.service.post(&user.token, "/ai/chat/stream", asking("How do I learn Rust?")).await.expect(200);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let event = |text: &str| {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some((field("event:")?.to_owned(), serde_json::from_str(field("data:")?).unwrap()))
    };
    answer.text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn without_a_model_the_mentor_answers_by_rules_and_says_so() {
    let ada = TestUser::student();
    let harness = start(&[&ada]).await;
    let answer = harness.service.post(&ada.token, "/ai/chat", asking("How do I learn Kubernetes?")).await.expect(200);
    let message = answer.json["message"].as_str().unwrap();
    assert!(message.contains("builds on Docker") && message.contains("no language model"), "{message}");
    assert_eq!((&answer.json["model"], &answer.json["prompt_tokens"]), (&json!("careeros-engine"), &json!(0)));
}

#[tokio::test]
async fn a_conversation_is_gated_metered_and_told_like_a_flow() {
    let ada = TestUser::student();
    let model = ModelServer::start("gpt-4o-mini", [Reply::Text(" Ask for more. ".to_owned())]).await;
    let harness = start_with(&[&ada], &[&model]).await;
    let body = json!({"mode": "salary", "messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "An offer?"},
    ]});
    let answer = harness.service.post(&ada.token, "/ai/chat", body).await.expect(200);
    assert_eq!(
        answer.json,
        json!({"message": "Ask for more.", "model": "gpt-4o-mini", "prompt_tokens": 100, "completion_tokens": 50})
    );
    let sent = &model.calls()[0].1;
    let roles: Vec<&str> = sent["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(sent.get("response_format").is_none());

    let executed = harness.db.outbox().await.pop().unwrap().2;
    assert_eq!(
        (&executed.payload["flow_name"], &executed.payload["status"]),
        (&json!("chat_mentor"), &json!("SUCCESS"))
    );
    assert_eq!(harness.count("token_usage where prompt_tokens = 100").await, 1);

    harness.billing.refuse("no");
    for path in ["/ai/chat", "/ai/chat/stream"] {
        assert_eq!(harness.service.post(&ada.token, path, asking("Hi")).await.expect(403).json["blocked"], true);
    }
    assert_eq!(harness.count("ai_outputs").await, 1);
}

#[tokio::test]
async fn bad_conversations_are_refused_with_their_fields() {
    let ada = TestUser::student();
    let harness = start(&[&ada]).await;
    for (body, field) in [
        (json!({"mode": "career"}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [{"role": "pirate", "content": "Arr"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": "Hi", "name": "x"}]}), "messages[0].name"),
        (json!({"mode": "x".repeat(65), "messages": [{"role": "user", "content": "Hi"}]}), "mode"),
    ] {
        for path in ["/ai/chat", "/ai/chat/stream"] {
            let answer = harness.service.post(&ada.token, path, body.clone()).await.expect(400);
            assert_eq!(answer.fields(), [field], "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_retry_with_the_same_key_is_not_asked_and_paid_twice() {
    let ada = TestUser::student();
    let model = ModelServer::start("m", [Reply::Text("One".to_owned()), Reply::Text("Two".to_owned())]).await;
    let harness = start_with(&[&ada], &[&model]).await;
    for _ in 0..2 {
        let answer = harness.service.post_once(&ada.token, "/ai/chat", "k", asking("Hi")).await.expect(200);
        assert_eq!(answer.json["message"], "One");
    }
    assert_eq!(harness.count("token_usage").await, 1);
}

#[tokio::test]
async fn an_answer_is_streamed_as_it_is_written_and_stored_at_its_end() {
    let ada = TestUser::student();
    let model = ModelServer::start("gpt-4o-mini", [Reply::Stream(vec!["Read ", "the ", "book."], true)]).await;
    let harness = start_with(&[&ada], &[&model]).await;
    let events = stream(&harness, &ada).await;
    let deltas: Vec<&str> =
        events.iter().filter(|(name, _)| name == "delta").map(|(_, data)| data["text"].as_str().unwrap()).collect();
    assert_eq!(deltas, ["Read ", "the ", "book."]);
    let done =
        json!({"message": "Read the book.", "model": "gpt-4o-mini", "prompt_tokens": 100, "completion_tokens": 50});
    assert_eq!(events.last(), Some(&("done".to_owned(), done)));
    assert_eq!(model.calls()[0].1["stream"], true);
    assert_eq!(harness.count("token_usage where total_cost_usd = 0.000045").await, 1);
    assert_eq!(harness.db.event_types().await, ["ModelCallCompleted", "AIFlowExecuted"]);
}

#[tokio::test]
async fn a_stream_falls_back_to_the_next_model_and_to_the_rules() {
    let ada = TestUser::student();
    let first = ModelServer::start("a", [Reply::Status(500, None), Reply::Hang]).await;
    let second = ModelServer::start("b", [Reply::Stream(vec!["Hello"], true), Reply::Stream(vec![], true)]).await;
    let harness = start_with(&[&ada], &[&first, &second]).await;
    assert_eq!(stream(&harness, &ada).await.last().unwrap().1["model"], "b");
    let by_rules = stream(&harness, &ada).await;
    assert_eq!(by_rules.last().unwrap().1["model"], "careeros-engine");
    assert!(by_rules[0].1["text"].as_str().unwrap().contains("Rust"));
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_kept_as_far_as_it_came() {
    let ada = TestUser::student();
    let model = ModelServer::start("m", [Reply::Stream(vec!["Half an ans"], false)]).await;
    let harness = start_with(&[&ada], &[&model]).await;
    let events = stream(&harness, &ada).await;
    assert_eq!(events.last().unwrap().1["message"], "Half an ans");
    assert_eq!(harness.count("ai_outputs where status = 'PARTIAL' and warnings[1] like '%broke off%'").await, 1);
}

#[tokio::test]
async fn a_stream_whose_reader_leaves_is_recorded_all_the_same() {
    let ada = TestUser::student();
    let pieces = vec!["word "; 500];
    let model = ModelServer::start("m", [Reply::Stream(pieces, true)]).await;
    let harness = start_with(&[&ada], &[&model]).await;
    let mut client = AiCoreServiceClient::new(harness.service.transport.clone());
    let mut request = tonic::Request::new(ChatMentorRequest {
        messages: vec![ChatMessage { role: "user".to_owned(), content: "Hi".to_owned() }],
        ..ChatMentorRequest::default()
    });
    request.metadata_mut().insert("authorization", format!("Bearer {}", ada.token).parse().unwrap());
    let mut chunks = client.stream_chat_mentor(request).await.unwrap().into_inner();
    let first = chunks.message().await.unwrap().unwrap();
    assert_eq!(first.kind, Some(Kind::Delta("word ".to_owned())));
    drop(chunks);
    testing::eventually("the conversation is stored", async || harness.count("token_usage").await == 1).await;
}
