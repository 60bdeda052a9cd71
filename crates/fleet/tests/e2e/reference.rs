//! The reference's examples are run: each is answered with the success that the reference tells, in the shape that it
//! tells.
//!
//! They tell one story. Where the example of an answer holds an id or token, later examples mean it by the same text; here
//! that stands for what was really answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use careeros_auth::operators;
use careeros_fleet::up::Fleet;
use careeros_rest::api::samples::ACCESS_TOKEN;
use careeros_shared::{clock::Clock, db::Db};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use crate::support;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The operations in an order in which each has what it needs.
const STORY: [&str; 58] = [
    "getGatewayHealth",
    "getHealth",
    "getLiveness",
    "getServing",
    "getReadiness",
    "getMetrics",
    "getReference",
    "getReferencePage",
    "getJwks",
    "register",
    // With the role that was given meanwhile.
    "login",
    "validateToken",
    "getCurrentUser",
    "createInvitation",
    "updateProfile",
    "getProfile",
    "upsertSkill",
    "listSkills",
    "createCourse",
    "createModule",
    "createLesson",
    "publishCourse",
    "getCourse",
    "listCourses",
    "enroll",
    "completeLesson",
    "listEnrollments",
    "getCertificate",
    "createRoadmap",
    "getActiveRoadmap",
    "getRoadmap",
    "completeMilestone",
    "recalculate",
    "createDraft",
    "updateCanvas",
    "pageDrafts",
    "takeTurn",
    "listFlows",
    "executeFlow",
    "chat",
    "streamChat",
    "getUsage",
    "getProgress",
    "upsertPlan",
    "activate",
    "getSubscription",
    "getSubscriptionAlias",
    "receiveWebhook",
    "getKpi",
    "refresh",
    "listSessions",
    // Another session, to end the listed one from.
    "login",
    "revokeSession",
    "logout",
    // What was done once more changes nothing.
    "login",
    "enroll",
    "completeLesson",
    "completeMilestone",
];

/// The document that a gateway serves.
pub(crate) struct Reference(Value);

impl Reference {
    pub(crate) async fn of(gateway: &str) -> Self {
        Self(reqwest::get(format!("{gateway}/v1/openapi.json")).await.unwrap().json().await.unwrap())
    }

    /// Whether `status` is one that the reference lists for a request. Where it knows no such operation, that is 404 or
    /// 405.
    pub(crate) fn documents(&self, method: &Method, path: &str, status: StatusCode) -> bool {
        match self.find(method, path) {
            Some(operation) => operation["responses"].get(status.as_str()).is_some(),
            None => matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// The operation of a path with its parameters filled in; one with fewer parameters goes first.
    fn find(&self, method: &Method, path: &str) -> Option<&Value> {
        let fits = |template: &str| {
            let (template, path) = (template.split('/'), path.split('/'));
            template.clone().count() == path.clone().count()
                && template.zip(path).all(|(part, given)| part == given || (part.starts_with('{') && !given.is_empty()))
        };
        let paths = self.0["paths"].as_object()?;
        let fitting = paths.iter().filter(|(template, _)| fits(template));
        let (_, item) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
        item.get(method.as_str().to_lowercase())
    }

    /// Method, path and operation by operation id.
    fn operations(&self) -> BTreeMap<&str, (Method, &str, &Value)> {
        let items = self.0["paths"].as_object().unwrap().iter();
        let all = items.flat_map(|(path, item)| METHODS.iter().map(move |method| (*method, path.as_str(), item)));
        let all = all.filter_map(|(method, path, item)| Some((method, path, item.get(method)?)));
        all.map(|(method, path, operation)| {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            (operation["operationId"].as_str().unwrap(), (method, path, operation))
        })
        .collect()
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    fn validator(&self, schema: &Value) -> jsonschema::Validator {
        let alone = json!({"allOf": [schema], "components": {"schemas": self.0["components"]["schemas"]}});
        jsonschema::options().should_validate_formats(true).build(&alone).unwrap()
    }
}

struct Story<'a> {
    reference: &'a Reference,
    http: reqwest::Client,
    gateway: &'a str,
    secret: &'a str,
    /// What texts of the examples stand for.
    meanings: BTreeMap<String, String>,
    faults: Vec<String>,
}

impl Story<'_> {
    /// `example` with what its texts stand for.
    fn meant(&self, example: &Value) -> Value {
        match example {
            Value::String(text) => self.meanings.get(text).unwrap_or(text).as_str().into(),
            Value::Array(items) => items.iter().map(|item| self.meant(item)).collect(),
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), self.meant(value))).collect(),
            other => other.clone(),
        }
    }

    /// Learns what the ids and tokens of `example` stand for.
    fn learn(&mut self, example: &Value, answer: &Value) {
        match (example, answer) {
            (Value::String(text), Value::String(meaning)) if text.len() >= 16 && !text.contains(' ') => {
                self.meanings.insert(text.clone(), meaning.clone());
            }
            (Value::Array(examples), Value::Array(answers)) => {
                examples.iter().zip(answers).for_each(|(example, answer)| self.learn(example, answer));
            }
            (Value::Object(examples), Value::Object(answers)) => {
                for (name, example) in examples {
                    // What is inside of a schema may be another flow's.
                    self.learn(example, answers.get(name).unwrap_or(&Value::Null));
                }
            }
            _ => {}
        }
    }

    /// The example's request: its parameters, its body, and the token or signature that it needs.
    fn request(&self, method: Method, path: &str, operation: &Value) -> reqwest::RequestBuilder {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let given: Vec<_> = parameters
            .map(|parameter| self.reference.resolve(parameter))
            .filter_map(|parameter| {
                let example = self.meant(parameter.get("example")?);
                let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                Some((parameter["in"].as_str()?, parameter["name"].as_str()?, text))
            })
            .collect();
        let of = |place: &'static str| {
            given.iter().filter(move |(of, ..)| *of == place).map(|(_, name, text)| (*name, text))
        };
        let path = of("path").fold(path.to_owned(), |path, (name, text)| path.replace(&format!("{{{name}}}"), text));
        let url = Url::parse_with_params(&format!("{}{path}", self.gateway), of("query")).unwrap();
        let request = self.http.request(method, url);
        if operation["security"] == json!([{"bearer": []}]) {
            request.bearer_auth(self.meanings.get(ACCESS_TOKEN).map_or("", String::as_str))
        } else {
            request
        }
    }

    async fn tell(&mut self, id: &'static str, (method, path, operation): (Method, &str, &Value)) {
        let mut request = self.request(method, path, operation);
        let body = operation["requestBody"]["content"]["application/json"].get("example");
        if let Some(body) = body.map(|example| self.meant(example).to_string()) {
            if operation["security"] == json!([{"webhookSignature": []}]) {
                request = request.header("careeros-signature", signature(self.secret, &body));
            }
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{id}: {error}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let documented = operation["responses"].get(status.as_str());
        let Some(documented) = documented.filter(|_| status.is_success()) else {
            self.faults.push(format!("{id}: {status} {text:.500}"));
            return;
        };
        for name in documented["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if !headers.contains_key(name) {
                self.faults.push(format!("{id}: the answer has no {name}"));
            }
        }
        let media = headers[header::CONTENT_TYPE].to_str().unwrap().split(';').next().unwrap_or_default();
        let Some(content) = documented["content"].get(media) else {
            self.faults.push(format!("{id}: {media} is not documented"));
            return;
        };
        if media == "text/event-stream" && !text.contains("event: done\ndata: {") {
            self.faults.push(format!("{id}: the stream does not end: {text}"));
        }
        let answer = if media.ends_with("json") { serde_json::from_str(&text).unwrap() } else { Value::from(text) };
        let errors = self.reference.validator(&content["schema"]);
        let errors = errors.iter_errors(&answer).map(|error| format!("{id}: {error} at {}", error.instance_path()));
        self.faults.extend(errors);
        self.learn(&content["example"], &answer);
    }
}

fn signature(secret: &str, body: &str) -> String {
    let time = Clock::system().now().timestamp();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}

async fn make_operator(fleet: &Fleet, email: &str) {
    let auth = Db::connect_lazy(&fleet.stores.urls["auth"], 1, "careeros-e2e").unwrap();
    operators::grant(&auth, Clock::system().now(), email).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_answered_as_the_reference_says() {
    let _machine = support::alone().await;
    let directory = support::directory();
    let fleet = support::start(&directory, &[]).await;
    let reference = Reference::of(&fleet.gateway).await;
    let operations = reference.operations();
    let told: BTreeSet<_> = STORY.into_iter().collect();
    assert_eq!(told, operations.keys().copied().collect(), "an operation is missing in the story");
    let mut story = Story {
        reference: &reference,
        http: reqwest::Client::builder().timeout(Duration::from_mins(1)).build().unwrap(),
        gateway: &fleet.gateway,
        secret: fleet.env.get("BILLING_WEBHOOK_SECRETS").unwrap(),
        meanings: BTreeMap::new(),
        faults: Vec::new(),
    };
    for id in STORY {
        story.tell(id, operations[id].clone()).await;
        if id == "register" {
            let body = &operations[id].2["requestBody"]["content"]["application/json"]["example"];
            make_operator(&fleet, body["email"].as_str().unwrap()).await;
        }
    }
    let faults = story.faults;
    fleet.stop().await.unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_path_finds_its_operation() {
    let operation = |status: &str| json!({"responses": {status: {}}});
    let reference = Reference(json!({"paths": {
        "/roadmaps/{roadmapId}": {"get": operation("200")},
        "/roadmaps/drafts": {"get": operation("201")},
    }}));
    let documents = |path, status| reference.documents(&Method::GET, path, StatusCode::from_u16(status).unwrap());
    assert!(documents("/roadmaps/1", 200) && !documents("/roadmaps/1", 404));
    assert!(documents("/roadmaps/drafts", 201) && !documents("/roadmaps/drafts", 200));
    assert!(documents("/roadmaps", 404) && !documents("/roadmaps", 200));
    assert!(reference.documents(&Method::PUT, "/roadmaps/1", StatusCode::METHOD_NOT_ALLOWED));
}
