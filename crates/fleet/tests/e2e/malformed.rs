//! Whatever is wrong with a request, its answer is a problem that says so: never a success, never a fault of ours.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use careeros_auth::operators;
use careeros_fleet::up::Fleet;
use careeros_shared::{clock::Clock, db::Db, testing};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, header};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    reference::Reference,
    requests::{self, Ids, Route},
    support,
};

/// The largest problem that is worth reading: input is not sent back at length.
const LONGEST_PROBLEM: usize = 4096;
const JSON: &str = "application/json";

/// What is wrong with answers, so that one run tells all of it.
#[derive(Clone, Default)]
struct Faults(Rc<RefCell<BTreeSet<String>>>);

impl Faults {
    fn expect(&self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.borrow_mut().insert(fault());
        }
    }
}

/// What was answered, and to what.
struct Answer {
    what: String,
    status: u16,
    fields: Vec<String>,
    faults: Faults,
}

impl Answer {
    fn is(&self, status: u16) {
        let Self { what, status: found, .. } = self;
        self.faults.expect(*found == status, || format!("{what}: {found}, not {status}"));
    }

    /// 400 that names `field` or something in it.
    fn names(&self, field: &str) {
        self.is(400);
        let (inside, entry) = (format!("{field}."), format!("{field}["));
        let named = self.fields.iter().any(|f| f == field || f.starts_with(&inside) || f.starts_with(&entry));
        self.faults.expect(named, || format!("{}: names {:?}, not {field}", self.what, self.fields));
    }

    /// 400 that names `field`, or another refusal of a value that may be well formed.
    fn refuses(&self, field: &str) {
        if self.status == 400 {
            self.names(field);
        }
    }
}

struct Tester {
    gateway: String,
    http: reqwest::Client,
    reference: Reference,
    token: String,
    ids: Ids,
    faults: Faults,
}

impl Tester {
    /// With somebody who may do everything, so that it is the input that is refused.
    async fn new(fleet: &Fleet) -> Self {
        let client = support::client(fleet);
        let person = client.register("operator").await.unwrap();
        let auth = Db::connect_lazy(&fleet.stores.urls["auth"], 1, "careeros-e2e").unwrap();
        operators::grant(&auth, Clock::system().now(), &person.email).await.unwrap();
        let person = client.log_in(&person.email).await.unwrap();
        let (course, lesson) = client.teach(&person).await.unwrap();
        let draft = client.post(&person.token, "/roadmaps/drafts", &json!({}), 201).await.unwrap();
        let other = testing::id().to_string();
        let ids = [
            ("userId", person.id.as_str()),
            ("tenantId", &person.tenant_id),
            ("courseId", &course),
            ("lessonId", &lesson),
            ("draftId", draft["id"].as_str().unwrap()),
            ("moduleId", &other),
            ("roadmapId", &other),
            ("sessionId", &other),
            ("verificationCode", "none"),
        ];
        Self {
            gateway: fleet.gateway.clone(),
            http: http(),
            reference: Reference::of(&fleet.gateway).await,
            token: person.token,
            ids: ids.map(|(name, id)| (name, id.to_owned())).into(),
            faults: Faults::default(),
        }
    }

    fn request(&self, method: &Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.clone(), format!("{}{path}", self.gateway))
    }

    fn signed_in(&self, route: &Route, path: &str) -> reqwest::RequestBuilder {
        self.request(&route.method, path).bearer_auth(&self.token)
    }

    async fn body(&self, route: &Route, content_type: &str, body: impl Into<reqwest::Body>, what: &str) -> Answer {
        let request = self.signed_in(route, &route.path_of(&self.ids));
        let request = request.header(header::CONTENT_TYPE, content_type).body(body);
        self.ask(request, format!("{} {}: {what}", route.method, route.path)).await
    }

    async fn json(&self, route: &Route, body: &Value, what: &str) -> Answer {
        self.body(route, JSON, body.to_string(), what).await
    }

    /// Sends a request that has to be refused, and checks that the refusal is a problem that the reference knows of.
    async fn ask(&self, request: reqwest::RequestBuilder, what: String) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.http.execute(request).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let is_documented = self.reference.documents(&method, &path, status);
        self.faults.expect(is_documented, || format!("{what}: {status} is not documented"));
        let text = response.text().await.unwrap();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let id = headers.get("x-correlation-id").and_then(|id| id.to_str().ok());
        let is_problem = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
            && problem["status"] == status.as_u16()
            && id.is_some()
            && problem["correlation_id"].as_str() == id
            && text.len() <= LONGEST_PROBLEM;
        self.faults.expect(status.is_client_error() && is_problem, || {
            format!("{what}: {status} {text:.300} ({} characters)", text.len())
        });
        let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fields = errors.iter().filter_map(|error| error["field"].as_str()).map(str::to_owned);
        Answer { what, status: status.as_u16(), fields: fields.collect(), faults: self.faults.clone() }
    }
}

fn http() -> reqwest::Client {
    let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(30)).build();
    http.unwrap()
}

/// `body` with another value in `field`.
fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

/// Values of other types than `value` has, and numbers out of any range.
fn wrong_values(value: &Value) -> Vec<Value> {
    let long = Value::from("x".repeat(10_000));
    let text = json!("x");
    match value {
        Value::String(_) => vec![json!(7), json!({}), json!(["x"]), json!(true)],
        Value::Number(_) => {
            let numbers = [json!(1e308), json!(-1e308), json!(u64::MAX), json!(i64::MIN), json!(-1)];
            [json!({}), json!([1]), json!(true), text, long].into_iter().chain(numbers).collect()
        }
        Value::Array(_) => vec![json!(7), json!({"a": 1}), text, json!([7]), json!([[]]), long],
        _ => vec![json!(7), json!([7]), text, json!(false), long],
    }
}

async fn spoil_fields(tester: &Tester, route: &Route, body: &Value) {
    for field in route.required {
        let mut without = body.clone();
        without.as_object_mut().unwrap().remove(*field);
        tester.json(route, &without, &format!("no {field}")).await.names(field);
        tester.json(route, &with(body, field, Value::Null), &format!("{field} is null")).await.names(field);
    }
    tester.json(route, &with(body, "surprise", json!(1)), "an unknown field").await.names("surprise");
    for (field, value) in body.as_object().unwrap() {
        for wrong in wrong_values(value) {
            let what = format!("{field} is {wrong:.40}");
            tester.json(route, &with(body, field, wrong), &what).await.names(field);
        }
        let opaque = route.opaque.contains(&field.as_str());
        if value.is_string() && !opaque {
            for (text, name) in [("a\0b".to_owned(), "NUL"), ("x".repeat(300_000), "long")] {
                let what = format!("{field} is {name}");
                tester.json(route, &with(body, field, text.into()), &what).await.refuses(field);
            }
        }
    }
}

async fn spoil_body(tester: &Tester, route: &Route, body: &Value) {
    let values: Vec<_> = body.as_object().unwrap().values().cloned().collect();
    tester.json(route, &values.into(), "an array of the fields' values").await.names("body");
    for text in ["", "{", "null", "7", "\"x\"", "[{}]"] {
        tester.body(route, JSON, text, text).await.names("body");
    }
    for text in ["{}}", "{\"a\":1,}"] {
        tester.body(route, JSON, text, text).await.is(400);
    }
    for seed in 1..=4 {
        tester.body(route, JSON, noise(seed), "noise").await.names("body");
    }
    tester.body(route, JSON, &b"{\"\xff\": \"\xff\xfe\"}"[..], "no UTF-8").await.is(400);
    let deep = ["[", "]"].map(|bracket| bracket.repeat(100_000)).concat();
    tester.body(route, JSON, deep, "deep").await.names("body");
    let field = body.as_object().unwrap().keys().next().unwrap();
    let deep = format!("{{\"{field}\":{}1{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    tester.body(route, JSON, deep, "a deep field").await.names("body");
    tester.body(route, JSON, " ".repeat(1024 * 1024 + 1), "large").await.is(413);
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", ";"] {
        tester.body(route, content_type, body.to_string(), content_type).await.is(415);
    }
}

/// Bytes that are no JSON, the same at every run (xorshift, <https://doi.org/10.18637/jss.v008.i14>).
fn noise(mut seed: u64) -> Vec<u8> {
    let bytes = std::iter::repeat_with(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    });
    bytes.take(512).collect()
}

async fn spoil_identity(tester: &Tester, route: &Route) {
    let path = route.path_of(&tester.ids);
    let what = |what: &str| format!("{} {}: {what}", route.method, route.path);
    if route.needs_token {
        // Who calls is asked before what they say.
        let request = || tester.request(&route.method, &path).body(noise(1));
        tester.ask(request(), what("no token")).await.is(401);
        for token in ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
            tester.ask(request().bearer_auth(token), what("a wrong token")).await.is(401);
        }
        tester.ask(request().header(header::AUTHORIZATION, "Basic eDp5"), what("no bearer token")).await.is(401);
        let request = tester.signed_in(route, &path).header("x-tenant-id", "x");
        tester.ask(request, what("a wrong x-tenant-id")).await.names("x-tenant-id");
    }
    if let Some(body) = route.body.as_ref().filter(|_| route.method == Method::POST) {
        let request = tester.signed_in(route, &path).json(body).header("idempotency-key", "k".repeat(1000));
        tester.ask(request, what("a long idempotency key")).await.is(400);
    }
}

async fn spoil_path(tester: &Tester, route: &Route) {
    for name in route.ids() {
        for id in ["x", "0", "%00", "%ff", "%F0%9F%A6%80", "..%2f..%2fetc", "1e9", "a'--", &"x".repeat(2000)] {
            let mut ids = tester.ids.clone();
            ids.insert(name, id.to_owned());
            let mut request = tester.signed_in(route, &route.path_of(&ids));
            if let Some(body) = &route.body {
                request = request.json(body);
            }
            let answer = tester.ask(request, format!("{} {}: {name} is {id:.20}", route.method, route.path)).await;
            let (what, status) = (&answer.what, answer.status);
            tester.faults.expect([400, 404].contains(&status), || format!("{what}: {status}"));
            let is_text = id != "%ff";
            if answer.status == 400 && is_text {
                answer.names(name);
            }
        }
    }
    for name in route.query {
        let wrong: &[_] = match *name {
            "limit" => &["x", "-1", "101", "1e3", "99999999999"],
            "cursor" => &["x", "%00", "%ff", "AAAA", "%F0%9F%A6%80"],
            _ => &["%00"],
        };
        for value in wrong {
            let path = format!("{}?{name}={value}", route.path_of(&tester.ids));
            let request = tester.signed_in(route, &path);
            tester.ask(request, format!("{} {}: {name} is {value}", route.method, route.path)).await.names(name);
        }
    }
    if !route.query.is_empty() {
        let path = format!("{}?surprise=1", route.path_of(&tester.ids));
        tester.ask(tester.signed_in(route, &path), format!("{path}: unknown")).await.names("surprise");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_every_malformed_request_and_says_why() {
    let _machine = support::alone().await;
    let directory = support::directory();
    let fleet = support::start(&directory, &[("THROTTLE_LIMIT", "1000000")]).await;
    let tester = Tester::new(&fleet).await;
    let routes = requests::all(&tester.ids);
    for route in &routes {
        spoil_identity(&tester, route).await;
        spoil_path(&tester, route).await;
        if let Some(body) = &route.body {
            spoil_body(&tester, route, body).await;
            spoil_fields(&tester, route, body).await;
        }
        let same_path = |other: &&Route| other.path == route.path;
        let taken: Vec<_> = routes.iter().filter(same_path).map(|other| &other.method).collect();
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if !taken.contains(&&method) {
                let request = tester.request(&method, &route.path_of(&tester.ids)).bearer_auth(&tester.token);
                tester.ask(request, format!("{method} {}", route.path)).await.is(405);
            }
        }
    }
    for path in ["/", "/v1", "/v2/auth/me", "/v1/auth/%00", "/v1/lms", "/v1//auth/me"] {
        tester.ask(tester.request(&Method::GET, path), path.to_owned()).await.is(404);
    }
    webhooks(&tester, fleet.env.get("BILLING_WEBHOOK_SECRETS").unwrap()).await;
    fleet.stop().await.unwrap();
    let faults = tester.faults.0.take();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The paths below `/v1` of all areas, as the committed reference has them; the gateway's tests hold it to the routes.
fn routed() -> BTreeSet<String> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().keys().filter_map(|path| path.strip_prefix("/v1"));
    paths.filter(|path| !["/health", "/openapi.json"].contains(path)).map(str::to_lowercase).collect()
}

#[test]
fn no_route_is_left_out() {
    let names = ["userId", "tenantId", "courseId", "lessonId", "draftId", "roadmapId"];
    let routes = requests::all(&names.map(|name| (name, String::new())).into());
    let tested = routes.iter().map(|route| route.path).chain(["/billing/webhooks"]);
    assert_eq!(tested.map(str::to_lowercase).collect::<BTreeSet<_>>(), routed());
}

/// Webhooks prove who sends them by a signature of their raw body.
async fn webhooks(tester: &Tester, secret: &str) {
    let body = json!({
        "eventType": "invoice.paid", "eventId": "evt_1", "occurredAt": "2026-01-02T03:04:05Z",
        "payload": {"subscription_id": tester.ids["roadmapId"], "amount_usd": 5}
    });
    let post = || tester.request(&Method::POST, "/v1/billing/webhooks").header(header::CONTENT_TYPE, JSON);
    let signed = |raw: String| post().header("careeros-signature", signature(secret, &raw)).body(raw);
    tester.ask(post().body(body.to_string()), "no signature".into()).await.is(401);
    for wrong in
        ["", "x", "t=1,v1=00", "t=x,v1=y", &signature(secret, "another body"), &signature("other", &body.to_string())]
    {
        let request = post().header("careeros-signature", wrong).body(body.to_string());
        tester.ask(request, format!("signature {wrong}")).await.is(401);
    }
    for raw in ["", "{", "7", "[]"] {
        tester.ask(signed(raw.to_owned()), format!("webhook {raw}")).await.names("body");
    }
    for (field, value) in body.as_object().unwrap() {
        for wrong in wrong_values(value) {
            let raw = with(&body, field, wrong).to_string();
            tester.ask(signed(raw.clone()), format!("webhook {raw:.200}")).await.names(field);
        }
    }
    for payload in [json!({}), json!({"subscription_id": "x", "amount_usd": 5}), json!({"invoice_ref": "a\0b"})] {
        let raw = with(&body, "payload", payload).to_string();
        tester.ask(signed(raw.clone()), format!("webhook {raw}")).await.names("payload");
    }
    for (field, value) in
        [("eventType", "nonsense"), ("eventId", "a\0b"), ("occurredAt", "yesterday"), ("surprise", "x")]
    {
        let raw = with(&body, field, value.into()).to_string();
        tester.ask(signed(raw.clone()), format!("webhook {raw}")).await.names(field);
    }
}

/// The signature of a webhook's raw body.
pub(crate) fn signature(secret: &str, raw: &str) -> String {
    let time = Clock::system().now().timestamp();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{raw}").as_bytes());
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}
