//! Readers and writers that go on all the time, each with a person of its own.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use careeros_fleet::journey::{Client, Person};
use careeros_shared::testing;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many ask at a time.
const WORKERS: usize = 6;
/// Between two requests of a worker: the machine has better things to do as well.
const PAUSE: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that did not get what it asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Since the load began.
    pub(crate) at: Duration,
    pub(crate) request: String,
    /// The status, where there was an answer.
    pub(crate) status: Option<u16>,
    /// Whether not even a connection could be made.
    pub(crate) unconnected: bool,
    pub(crate) answer: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, request, status, answer, .. } = self;
        write!(f, "after {at:.2?}: {request}: {status:?} {answer}")
    }
}

/// A draft that was asked for, by its idempotency key.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) key: String,
    token: String,
    /// Its id, where it was said to be made.
    pub(crate) id: Option<String>,
}

/// What a worker or all of them have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: usize,
    pub(crate) failures: Vec<Failure>,
    pub(crate) drafts: Vec<Draft>,
}

/// The load while it lasts.
pub(crate) struct Load {
    stop: CancellationToken,
    workers: JoinSet<Seen>,
}

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Door {
    gateway: String,
    http: reqwest::Client,
}

/// An answer or why there is none.
type Outcome = Result<Value, Failure>;

impl Door {
    pub(crate) fn new(gateway: &str) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { gateway: gateway.to_owned(), http }
    }

    async fn ask(&self, method: Method, path: &str, token: &str, key: &str, body: Option<Value>) -> Outcome {
        let mut request = self.http.request(method.clone(), format!("{}/v1{path}", self.gateway)).bearer_auth(token);
        if method == Method::POST {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let failure = |status, unconnected, answer| Failure {
            at: Duration::ZERO,
            request: format!("{method} {path}"),
            status,
            unconnected,
            answer,
        };
        let response = request.send().await.map_err(|e| failure(None, e.is_connect(), format!("{e:?}")))?;
        let status = response.status();
        let text = response.text().await.map_err(|e| failure(None, false, format!("{e:?}")))?;
        let answer: Option<Value> = serde_json::from_str(&text).ok();
        answer.filter(|_| status.is_success()).ok_or_else(|| failure(Some(status.as_u16()), false, text))
    }

    /// Asks for `draft`, for the first time or again.
    pub(crate) async fn make(&self, draft: &Draft) -> Result<String, Failure> {
        let body = json!({"title": draft.key});
        let answer = self.ask(Method::POST, "/roadmaps/drafts", &draft.token, &draft.key, Some(body)).await?;
        Ok(answer["id"].as_str().unwrap().to_owned())
    }
}

impl Load {
    /// Begins, with requests to the gateway behind `door`; the people are registered by `client`.
    pub(crate) async fn begin(client: &Client, door: &Door) -> Self {
        let (stop, started) = (CancellationToken::new(), Instant::now());
        let (course, _) = client.teach(&client.register("teacher").await.unwrap()).await.unwrap();
        let course = Arc::<str>::from(course);
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let person = client.register("worker").await.unwrap();
            let plan = json!({"user_id": person.id, "tenant_id": person.tenant_id, "plan_code": "ENTERPRISE"});
            client.webhook(&json!({"eventType": "subscription.activated", "payload": plan}), 200).await.unwrap();
            workers.spawn(work(door.clone(), person, Arc::clone(&course), worker, started, stop.clone()));
        }
        Self { stop, workers }
    }

    /// Ends, and tells what was seen.
    pub(crate) async fn end(self) -> Seen {
        self.stop.cancel();
        let mut all = Seen::default();
        for mut seen in self.workers.join_all().await {
            all.answered += seen.answered;
            all.failures.append(&mut seen.failures);
            all.drafts.append(&mut seen.drafts);
        }
        all.failures.sort_by_key(|failure| failure.at);
        all
    }
}

/// Asks one thing after the other; workers begin at different ones.
async fn work(
    door: Door,
    person: Person,
    course: Arc<str>,
    worker: usize,
    started: Instant,
    stop: CancellationToken,
) -> Seen {
    let mut seen = Seen::default();
    for turn in worker * 3.. {
        if stop.is_cancelled() {
            break;
        }
        let outcome = if turn % 3 == 0 {
            let key = testing::id().to_string();
            let mut draft = Draft { key, token: person.token.clone(), id: None };
            let made = door.make(&draft).await;
            let outcome = made.map(|id| draft.id = Some(id));
            seen.drafts.push(draft);
            outcome
        } else {
            let (method, path, body) = request(turn, &person, &course);
            door.ask(method, &path, &person.token, &testing::id().to_string(), body).await.map(drop)
        };
        match outcome {
            Ok(()) => seen.answered += 1,
            Err(failure) => seen.failures.push(Failure { at: started.elapsed(), ..failure }),
        }
        tokio::time::sleep(PAUSE).await;
    }
    seen
}

/// What is asked for in a turn: something of every service.
fn request(turn: usize, person: &Person, course: &str) -> (Method, String, Option<Value>) {
    let Person { id, tenant_id, .. } = person;
    let get = |path: String| (Method::GET, path, None);
    let post = |path: &str, body| (Method::POST, path.to_owned(), Some(body));
    match turn % 14 {
        0 => get("/auth/me".to_owned()),
        1 => (Method::PUT, format!("/profiles/{id}"), Some(json!({"fullName": format!("Worker {turn}")}))),
        2 => get(format!("/profiles/{id}")),
        3 => post("/ai/flows/execute", json!({"flowName": "productivity_advisor", "input": {"minutesThisWeek": turn}})),
        4 => get(format!("/edu-tracker/progress/{id}")),
        5 => post("/lms/enrollments", json!({"courseId": course})),
        6 => get(format!("/lms/courses/{course}")),
        7 => get(format!("/analytics/kpi/{tenant_id}")),
        8 => get(format!("/billing/subscription/{id}")),
        9 => post("/auth/invitations", json!({"email": format!("{turn}-{id}@example.com"), "roles": ["STUDENT"]})),
        10 => get(format!("/roadmaps/drafts/{id}")),
        11 => {
            let answer = json!({"question": "Which role do you aim for?", "answer": "Backend engineer"});
            post("/roadmaps/interview/turn", json!({"messages": [answer]}))
        }
        12 => post("/ai/flows/execute", json!({"flowName": "skill_gap_analysis", "input": {"targetRole": "Analyst"}})),
        _ => get(format!("/ai/usage/{id}")),
    }
}
