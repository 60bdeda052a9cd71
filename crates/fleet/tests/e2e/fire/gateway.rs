//! A client that asks until it knows: a request is repeated with the same `Idempotency-Key` until its answer is definite.

use std::time::{Duration, Instant};

use careeros_shared::testing;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// For one try; longer than the gateway's own deadline.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// How long after the last kill every request has to be answered.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long a key is asked for that a killed process may hold; it is free again only after its lease, which is longer.
const HELD: Duration = Duration::from_secs(3);

/// The gateway under fire.
#[derive(Clone)]
pub(super) struct Gateway {
    http: reqwest::Client,
    url: String,
    /// When the fire ends.
    ends: Instant,
}

impl Gateway {
    pub(super) fn new(url: String, ends: Instant) -> Self {
        Self { http: reqwest::Client::builder().timeout(TIMEOUT).build().unwrap(), url, ends }
    }

    /// Whether the fire goes on.
    pub(super) fn burns(&self) -> bool {
        Instant::now() < self.ends
    }

    pub(super) async fn post(&self, token: &str, path: &str, body: Value) -> Option<Value> {
        self.settle(Method::POST, token, path, Some(body)).await
    }

    pub(super) async fn get(&self, token: &str, path: &str) -> Option<Value> {
        self.settle(Method::GET, token, path, None).await
    }

    /// The answer to a request that is right; `None` where it stays unknown, because a process was killed that had claimed
    /// its key.
    ///
    /// # Panics
    /// Where the request is refused, and where there is no answer long after the fire.
    pub(super) async fn settle(&self, method: Method, token: &str, path: &str, body: Option<Value>) -> Option<Value> {
        let key = testing::id().to_string();
        let mut held_since = None;
        loop {
            let mut request = self.http.request(method.clone(), format!("{}/v1{path}", self.url));
            if method == Method::POST {
                request = request.header("idempotency-key", &key);
            }
            if !token.is_empty() {
                request = request.bearer_auth(token);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            let reason = match answer(request).await {
                Ok((status, answer)) if status.is_success() => return Some(answer),
                Ok((StatusCode::CONFLICT, problem)) if is_held(&problem) => {
                    let since = *held_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > HELD {
                        return None;
                    }
                    problem.to_string()
                }
                Ok((status, problem)) if status.is_client_error() => {
                    panic!("{method} {path} of {body:?} was refused: {problem}")
                }
                Ok((status, problem)) => format!("{status} {problem}"),
                Err(error) => format!("{error:?}"),
            };
            assert!(
                Instant::now() < self.ends + RECOVERY,
                "{method} {path} has no answer {} s after the fire: {reason}",
                RECOVERY.as_secs()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<(StatusCode, Value)> {
    let response = request.send().await?;
    let status = response.status();
    Ok((status, response.json().await?))
}

fn is_held(problem: &Value) -> bool {
    problem.to_string().contains("idempotency_key_in_use") || problem["detail"].to_string().contains("still running")
}
