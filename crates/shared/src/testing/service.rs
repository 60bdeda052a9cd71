//! A service without ports: its REST routes and its RPCs behind the very layers that production has.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode, header},
};
use serde_json::Value;
use tonic::service::Routes;
use tower::ServiceExt;

use super::verifier;
use crate::{
    clock::Clock,
    ending::Ending,
    grpc::{self, Guard, Services, Transport},
    health::Readiness,
    http::{self, Edge},
    identity::Verifier,
    trace::Tracer,
};

/// The shared secret of services under test.
const SECRET: &str = "a-secret-for-tests-only";

/// A service under test.
#[derive(Debug, Clone)]
pub struct TestService {
    router: Router,
    /// The service's RPCs, called as another service would.
    pub transport: Transport,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, `null` where it is no JSON.
    pub json: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The fields that a problem names.
    pub fn fields(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["field"].as_str()).collect()
    }

    /// This answer, if its status is `status`.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "the status is often all that a test asks about")]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

impl TestService {
    /// `routes` as RPCs and what `rest` makes of them as REST, for users with test tokens.
    pub fn new(clock: &Clock, routes: Routes, rest: impl FnOnce(Transport) -> Router) -> Self {
        Self::with_verifier(clock, verifier(), routes, rest)
    }

    /// As [`TestService::new`], for users with the tokens that `verifier` knows.
    pub fn with_verifier(
        clock: &Clock,
        verifier: Verifier,
        routes: Routes,
        rest: impl FnOnce(Transport) -> Router,
    ) -> Self {
        let guard = Guard {
            service: "test-service",
            secret: super::service_secret(SECRET),
            verifier: verifier.clone(),
            clock: clock.clone(),
            tracer: Tracer::off(),
        };
        let transport = grpc::in_process(&Services::new(routes, guard));
        let edge = Edge {
            service: "test-service",
            clock: clock.clone(),
            verifier,
            trusted_proxies: Vec::new(),
            timeout: Duration::from_secs(30),
            ending: Ending::default(),
            tracer: Tracer::off(),
        };
        Self { router: http::router(rest(transport.clone()), edge, Readiness::default()), transport }
    }

    /// GET `path` with `token` (none where empty).
    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(self.request("GET", token, path).body(Body::empty()).expect("a valid request")).await
    }

    /// DELETE `path`.
    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        self.send(self.request("DELETE", token, path).body(Body::empty()).expect("a valid request")).await
    }

    /// POST `body` to `path`.
    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send_json("POST", token, path, &body).await
    }

    /// PUT `body` to `path`.
    pub async fn put(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send_json("PUT", token, path, &body).await
    }

    /// PATCH `path` with `body`.
    pub async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send_json("PATCH", token, path, &body).await
    }

    /// POST `body` to `path` with an `Idempotency-Key`.
    pub async fn post_once(&self, token: &str, path: &str, key: &str, body: Value) -> Answer {
        let request = self.request("POST", token, path).header("idempotency-key", key);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()));
        self.send(request.expect("a valid request")).await
    }

    /// Any request; it comes from 203.0.113.7 unless its extensions say otherwise.
    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().get_or_insert_with(|| ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 4711))));
        let response = self.router.clone().oneshot(request).await.expect("a router is infallible");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }

    #[expect(clippy::unused_self, reason = "reads better beside the methods that send")]
    fn request(&self, method: &str, token: &str, path: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path).header(header::USER_AGENT, "careeros-test/1");
        if token.is_empty() { request } else { request.header(header::AUTHORIZATION, format!("Bearer {token}")) }
    }

    async fn send_json(&self, method: &str, token: &str, path: &str, body: &Value) -> Answer {
        let request = self.request(method, token, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a valid request")).await
    }
}
