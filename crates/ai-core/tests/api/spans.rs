//! Calls to models as parts of a trace.

use careeros_shared::{
    testing::{self, Collector, SeenSpan, TestDb, TestUser, eventually},
    trace::Tracer,
};
use serde_json::{Value, json};

use crate::{
    Billing, MIGRATIONS,
    model::{ModelServer, Reply},
    serve_traced,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// What nobody may read in a span.
const PRIVATE: &str = "nine-lives";

/// The spans of the calls to `models` that a POST to `path` causes.
async fn spans(path: &str, models: &[&ModelServer], body: impl Fn(&TestUser) -> Value) -> Vec<SeenSpan> {
    let (collector, db, ada) = (Collector::start().await, TestDb::new(&MIGRATIONS).await, TestUser::student());
    let tracer = Tracer::new("ai-core-service", &collector.url, 1.0).unwrap();
    let endpoints = models.iter().map(|model| model.endpoint()).collect();
    let service = serve_traced(&db, &testing::clock(), &[&ada], endpoints, Billing::default().transport(), tracer);
    let request = axum::http::Request::post(path)
        .header("authorization", format!("Bearer {}", ada.token))
        .header("content-type", "application/json")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .body(body(&ada).to_string().into());
    service.send(request.unwrap()).await.expect(200);
    let calls: usize = models.iter().map(|model| model.calls().len()).sum();
    eventually("every call has a span at the collector", async || collector.spans_of(TRACE).len() >= calls).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), calls, "{spans:#?}");
    assert!(spans.iter().all(|span| span.parent == PARENT), "{spans:#?}");
    assert!(spans.iter().all(|span| !span.everything.contains(PRIVATE)), "{spans:#?}");
    spans
}

fn attribute<'a>(span: &'a SeenSpan, name: &str) -> Option<&'a str> {
    span.attributes.get(name).map(String::as_str)
}

#[tokio::test]
async fn every_call_to_a_model_is_a_span_with_what_it_used_and_without_what_was_said() {
    let advice = json!({
        "observations": [PRIVATE], "recommendations": ["Rest."], "next_week_plan": [{"day": "Monday", "task": "Rest"}],
    });
    let first = ModelServer::start("a", [Reply::Status(503, None), Reply::Text(PRIVATE.to_owned())]).await;
    let second = ModelServer::start("b", [Reply::json(&advice)]).await;
    let spans = spans("/ai/flows/execute", &[&first, &second], |ada| {
        json!({
            "userId": ada.id, "tenantId": ada.tenant_id, "flowName": "productivity_advisor", "input": {"note": PRIVATE},
        })
    })
    .await;
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            (span.name.as_str(), attribute(span, "gen_ai.request.model"), attribute(span, "error.type"), span.failed)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("chat a", Some("a"), Some("server_error"), true),
            ("chat a", Some("a"), Some("invalid_output"), true),
            ("chat b", Some("b"), None, false),
        ]
    );
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.output.type", "json"),
        ("gen_ai.usage.input_tokens", "100"),
        ("gen_ai.usage.output_tokens", "50"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(attribute(&spans[2], name), Some(value), "{name}");
    }
    assert_eq!(attribute(&spans[0], "gen_ai.usage.input_tokens"), None);
}

#[tokio::test]
async fn a_streamed_answer_is_a_span_too() {
    let model = ModelServer::start("m", [Reply::Stream(vec![PRIVATE, " is what cats have"], true)]).await;
    let spans = spans(
        "/ai/chat/stream",
        &[&model],
        |ada| json!({"userId": ada.id, "tenantId": ada.tenant_id, "messages": [{"role": "user", "content": PRIVATE}]}),
    )
    .await;
    assert_eq!((spans[0].name.as_str(), spans[0].failed), ("chat m", false));
    assert_eq!(attribute(&spans[0], "gen_ai.output.type"), Some("text"));
    assert!(attribute(&spans[0], "gen_ai.usage.output_tokens").is_some());
}
