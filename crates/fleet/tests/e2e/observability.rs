//! What the services tell of themselves: one trace for a request and all that follows from it, and no secret in any of it.

use std::{collections::BTreeSet, time::Duration};

use careeros_fleet::journey::PASSWORD;
use careeros_shared::testing::{self, Collector, SeenSpan};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    processes::{BINARIES, Processes},
    support,
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

fn request(method: Method, url: String) -> RequestBuilder {
    #[expect(clippy::disallowed_methods, reason = "each request has its deadline")]
    reqwest::Client::new().request(method, url).timeout(Duration::from_secs(30))
}

/// The one span among `spans` with this service and name.
fn one<'a>(spans: &'a [SeenSpan], service: &str, name: &str) -> Option<&'a SeenSpan> {
    spans.iter().find(|span| span.service == service && span.name == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_all_that_follows_from_it_are_one_trace() {
    let _machine = support::alone().await;
    let directory = support::directory();
    let collector = Collector::start().await;
    let fleet = support::start(&directory, &[(ENDPOINT, &collector.url)]).await;
    let person = support::client(&fleet).register("learner").await.unwrap();

    let (trace, root) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let changed = request(Method::PUT, format!("{}/v1/profiles/{}", fleet.gateway, person.id))
        .bearer_auth(&person.token)
        .header("traceparent", format!("00-{trace}-{root}-01"))
        .json(&json!({"fullName": "Ada Lovelace"}))
        .send();
    assert_eq!(changed.await.unwrap().status(), 200);

    let rpc = "careeros.userprofile.v1.UserProfileService/UpdateProfile";
    let topic = "careeros.profile.profile-updated.v1";
    let chain = [
        ("api-gateway", "PUT /v1/profiles/{user_id}".to_owned()),
        ("api-gateway", rpc.to_owned()),
        ("user-profile-service", rpc.to_owned()),
        ("user-profile-service", format!("send {topic}")),
        ("analytics-service", format!("process {topic}")),
    ];
    let seen = || collector.spans_of(trace);
    testing::eventually("every hop's span is at the collector", async || {
        chain.iter().all(|(service, name)| one(&seen(), service, name).is_some())
    })
    .await;
    let spans = seen();
    let mut parent = root;
    for (service, name) in &chain {
        let span = one(&spans, service, name).unwrap();
        assert_eq!(span.parent, parent, "{service}: {name} in {spans:#?}");
        parent = &span.id;
    }
    fleet.stop().await.unwrap();
}

/// Says everything that is secret or private in as many ways as clients find, and returns all answers that refuse.
async fn indiscreet(gateway: &str, password: &str, cv: &str) -> Vec<String> {
    let mut refusals = Vec::new();
    let post = |path: &str, token: &str, body: String| {
        let request = request(Method::POST, format!("{gateway}/v1{path}")).header("content-type", "application/json");
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        async move {
            let answer = request.body(body).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    let email = format!("indiscreet-{}@example.com", testing::id().simple());
    let account = json!({"email": email, "password": password});
    assert_eq!(post("/auth/register", "", account.to_string()).await.0, 201);
    let (status, answer) = post("/auth/login", "", account.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let session: Value = serde_json::from_str(&answer).unwrap();
    let access = session["tokens"]["accessToken"].as_str().unwrap();
    let refresh = session["tokens"]["refreshToken"].as_str().unwrap();
    let (user, tenant) = (&session["userId"], &session["tenantId"]);

    let flow = |name: &str, input: Value| {
        json!({"userId": user, "tenantId": tenant, "flowName": name, "input": input}).to_string()
    };
    let (status, answer) = post("/ai/flows/execute", access, flow("resume_analysis", json!({"resume": cv}))).await;
    assert_eq!(status, 200, "{answer}");
    let forged = format!("{access}x");
    let wrong = [
        // The right secret in the wrong place, of the wrong type, cut short.
        ("/auth/login", "", json!({"email": password, "password": password}).to_string()),
        ("/auth/login", "", json!({"email": email, "password": [password]}).to_string()),
        ("/auth/login", "", format!("{{\"password\": \"{password}\", ")),
        ("/auth/register", "", json!({"email": email, "password": password}).to_string()),
        ("/auth/register", "", json!({"email": email, "password": &password[..7]}).to_string()),
        ("/auth/refresh", "", json!({"refreshToken": format!("{refresh}x")}).to_string()),
        ("/auth/refresh", "", json!({"refreshToken": {"token": refresh}}).to_string()),
        ("/roadmaps", &forged, json!({}).to_string()),
        ("/ai/flows/execute", access, flow("resume_analysis", json!({"resume": [cv]}))),
        ("/ai/flows/execute", access, flow("resume_analysis", json!({"cv": cv}))),
        ("/ai/flows/execute", access, flow(cv, json!({"resume": cv}))),
        ("/ai/chat", access, json!({"userId": user, "message": {"text": cv}}).to_string()),
    ];
    for (path, token, body) in wrong {
        let (status, answer) = post(path, token, body).await;
        assert!(status < 500, "{path}: {status} {answer}");
        // An answer that fits belongs to its client, whatever it holds.
        if status >= 400 {
            refusals.push(answer);
        }
    }
    let renewed = post("/auth/refresh", "", json!({"refreshToken": refresh}).to_string()).await;
    assert_eq!(renewed.0, 200, "{}", renewed.1);
    for token in [access, refresh] {
        refusals.push(format!("token:{token}"));
    }
    refusals
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_cv_is_in_any_log_line_span_metric_or_error() {
    let _machine = support::alone().await;
    let collector = Collector::start().await;
    let id = testing::id().simple().to_string();
    let (password, cv, key) = (format!("pw canary {id}"), format!("cv canary {id}"), format!("sk-canary-{id}"));
    let extra = [
        (ENDPOINT, collector.url.clone()),
        ("LOG_LEVEL", "trace".to_owned()),
        ("OPENAI_API_KEY", key.clone()),
        // Nobody answers there, so that the provider's failures are told too.
        ("OPENAI_BASE_URL", "http://127.0.0.1:9".to_owned()),
    ];
    let mut processes = Processes::start_with(&extra).await;
    let told = indiscreet(&processes.url(0), &password, &cv).await;
    let (tokens, refusals): (Vec<_>, Vec<_>) = told.iter().partition(|text| text.starts_with("token:"));

    let mut secrets = vec![("the password", password), ("the CV", cv), ("the model's key", key)];
    secrets.push(("a password", PASSWORD.to_owned()));
    secrets.extend(tokens.iter().map(|token| ("a token", token.trim_start_matches("token:").to_owned())));
    for service in 0..BINARIES.len() {
        let variables = processes.variables(service);
        for name in ["SERVICE_SHARED_SECRET", "BILLING_WEBHOOK_SECRETS"] {
            secrets.push(("a shared secret", variables[name].clone()));
        }
        if let Some(url) = variables.get("DATABASE_URL") {
            let url = url::Url::parse(url).unwrap();
            secrets.push(("a database's password", url.password().unwrap().to_owned()));
        }
    }
    // A drained service has sent its last spans.
    for (name, status) in processes.terminate().await {
        assert!(status.success(), "{name}: {status}");
    }
    let spans = format!("{:?}", collector.spans());
    for name in ["POST /v1/ai/flows/execute", "chat gpt-4o-mini"] {
        assert!(spans.contains(name), "spans were sent: {spans:.500}");
    }
    let metrics = format!("{:?}", collector.metrics());
    let services: BTreeSet<_> = collector.metrics().iter().map(|seen| seen.resource["service.name"].clone()).collect();
    assert_eq!(services.len(), BINARIES.len(), "every service sends its metrics: {services:?}");
    let logs: Vec<_> = (0..BINARIES.len()).map(|service| (BINARIES[service], processes.said(service))).collect();
    assert!(logs.iter().all(|(_, log)| log.contains("answered")), "requests were logged");
    for (what, secret) in &secrets {
        for (name, log) in &logs {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{name} logs {what}: {}", line.unwrap_or_default());
        }
        for refusal in &refusals {
            assert!(!refusal.contains(secret), "a refusal shows {what}: {refusal}");
        }
        assert!(!spans.contains(secret), "a span holds {what}");
        assert!(!metrics.contains(secret), "a metric holds {what}");
    }
    processes.stop().await;
}
