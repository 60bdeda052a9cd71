//! The HTTP edge of every service: correlation, client address, limits, request log, metrics, health, errors as problems.

mod door;

use std::{
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Version, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use futures::FutureExt;
use ipnet::IpNet;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::door::Door;
use crate::{
    clock::Clock,
    correlation::{self, CORRELATION_ID, Correlation},
    ending::Ending,
    error::{Error, Kind, Result, http_logged},
    health::Readiness,
    identity::Verifier,
    metrics,
    trace::{Role, Span, Tracer},
};

/// The largest body in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;
/// The largest body that is read before its request is looked at, in bytes.
const SHORT_BODY: usize = 64 * 1024;
/// The largest sum of header names and values in bytes.
const HEADER_LIMIT: usize = 16 * 1024;
/// How long a request may be on its way over a connection after the last one was taken.
const LINGER: Duration = Duration::from_millis(250);

/// What the edge needs, and what the extractors find in a request's extensions.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The service's name in health answers, logs and metrics.
    pub service: &'static str,
    /// Tells the time.
    pub clock: Clock,
    /// Checks users' tokens.
    pub verifier: Verifier,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// When a request has taken too long.
    pub timeout: Duration,
    /// How far the process's end has come.
    pub ending: Ending,
    /// Makes the spans of requests.
    pub tracer: Tracer,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    service: &'static str,
    timestamp: String,
}

/// Completes `routes`: health, metrics, 404 and 405 as problems, and the edge's layers.
pub fn router(routes: Router, edge: Edge, readiness: Readiness) -> Router {
    let edge = Arc::new(edge);
    let health = get(|State(edge): State<Arc<Edge>>| async move {
        let timestamp = edge.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        Json(Health { status: "ok", service: edge.service, timestamp })
    });
    let own = Router::new()
        .route("/health", health.clone())
        .route("/v1/health", health.clone())
        .route("/health/live", health)
        .with_state(Arc::clone(&edge))
        .route("/health/serving", get(crate::health::serving).with_state(edge.ending.asked.clone()))
        .route("/health/ready", get(crate::health::ready).with_state((readiness, edge.ending.asked.clone())))
        .route("/metrics", get(async || ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render())));
    routes
        .merge(own)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(edge, pass))
}

/// The answer to a method that a path does not have. A router with layers that have to see such requests too, as CORS
/// has to see OPTIONS, sets it below its layers.
pub async fn method_not_allowed() -> Error {
    Error::new(Kind::MethodNotAllowed, "this path has other methods")
}

/// The answer to a path that does not exist; set below the layers in the same way.
pub async fn not_found() -> Error {
    Error::new(Kind::NotFound, "there is no such path")
}

/// Serves `router` on `listener` until `closing`; requests under way, and those on their way, are finished.
///
/// # Errors
/// Where the server fails.
pub async fn serve(listener: TcpListener, router: Router, closing: CancellationToken) -> anyhow::Result<()> {
    let (door, closed) = Door::new(listener, closing);
    let listener = door.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "TCP_NODELAY could not be set");
        }
    });
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            closed.cancelled().await;
            // The server ends connections on which nothing has been read, too.
            tokio::time::sleep(LINGER).await;
        })
        .await?;
    Ok(())
}

/// Every request passes here once, in and out. It is one layer for all that the edge does, because axum puts each layer into a
/// box of its own and copies all of them for every request.
async fn pass(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", |m| m.as_str()).to_owned();
    let mut correlation = Correlation::from_headers(request.headers(), edge.clock.now());
    let mut traced = if is_probe(&path) {
        Span::none()
    } else {
        edge.tracer.start(Role::Server, format!("{method} {route}"), correlation::sent(request.headers()))
    };
    correlation.continue_as(&traced);
    let id = correlation.id.clone();
    let span =
        tracing::info_span!("request", service = edge.service, correlation_id = id, trace_id = correlation.trace_id());
    let limited = check_headers(request.headers());
    request.extensions_mut().insert(correlation);
    request.extensions_mut().insert(Arc::clone(&edge));
    let (timeout, ending, version) = (edge.timeout, edge.ending.clone(), request.version());
    DefaultBodyLimit::max(BODY_LIMIT).apply(&mut request);
    let answer = async move {
        limited?;
        let answered = AssertUnwindSafe(next.run(read_ahead(request).await?)).catch_unwind().await;
        answered.map_err(|_| Error::internal(anyhow::anyhow!("a handler panicked")))
    };
    let overdue = ending.overdue;
    let work = async move {
        tokio::select! {
            answer = answer => answer,
            () = tokio::time::sleep(timeout) => Err(Error::timeout("the request took too long; try again")),
            () = overdue.cancelled() => Err(Error::unavailable("this server is ending; send the request again")),
        }
        .unwrap_or_else(IntoResponse::into_response)
    };
    let mut response = correlation::scope(id.clone(), path.clone(), work).instrument(span.clone()).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(CORRELATION_ID, id);
    }
    if ending.asked.is_cancelled() && version < Version::HTTP_2 {
        // HTTP/2 has GOAWAY for it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status();
    traced.set("http.request.method", method.to_string());
    traced.set("http.route", route.clone());
    traced.set("http.response.status_code", i64::from(status.as_u16()));
    traced.set("careeros.correlation_id", id);
    if status.is_server_error() {
        traced.fail(http_logged(&response).map_or_else(|| status.to_string(), |(code, _)| code.to_string()));
    }
    metrics::http(edge.service, method.as_str(), &route, status.as_u16(), started.elapsed());
    span.in_scope(|| log(method.as_str(), &path, &response, started.elapsed()));
    response
}

/// The request with its body read, where that is short. hyper closes a connection on which it has answered, say 401,
/// before the body came, and the request that the client sends on it next is lost.
async fn read_ahead(request: Request) -> Result<Request> {
    let length = request.body().size_hint().exact();
    if !length.is_some_and(|length| length > 0 && length <= SHORT_BODY as u64) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, SHORT_BODY)
        .await
        .map_err(|error| Error::new(Kind::Invalid, "the body could not be read to its end").with_source(error))?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn log(method: &str, path: &str, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    let duration_ms = took.as_secs_f64() * 1e3;
    if is_probe(path) {
        tracing::debug!(http.method = method, http.path = path, http.status = status, duration_ms, "answered a probe");
        return;
    }
    match http_logged(response) {
        Some((code, Some(chain))) if status >= 500 => {
            tracing::error!(
                http.method = method,
                http.path = path,
                http.status = status,
                duration_ms,
                error.code = code,
                error.chain = chain,
                "answered a request"
            );
        }
        Some((code, _)) => {
            tracing::info!(
                http.method = method,
                http.path = path,
                http.status = status,
                duration_ms,
                error.code = code,
                "answered a request"
            );
        }
        None => {
            tracing::info!(
                http.method = method,
                http.path = path,
                http.status = status,
                duration_ms,
                "answered a request"
            );
        }
    }
}

/// Whether machines ask for `path` all the time.
fn is_probe(path: &str) -> bool {
    path.starts_with("/health") || path == "/v1/health" || path == "/metrics"
}

fn check_headers(headers: &HeaderMap) -> Result<()> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADER_LIMIT {
        let message = format!("the headers have {size} bytes; at most {HEADER_LIMIT} are read");
        return Err(Error::new(Kind::HeadersTooLarge, message));
    }
    Ok(())
}

/// The client's address: the connection's, or behind trusted proxies the last one in `X-Forwarded-For` that is not theirs.
pub(crate) fn client_ip(parts: &Parts, edge: &Edge) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
    let trusted = |ip: &IpAddr| edge.trusted_proxies.iter().any(|net| net.contains(ip));
    if !trusted(&peer) {
        return Some(peer);
    }
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let hops: Vec<IpAddr> = forwarded.flat_map(|v| v.split(',')).filter_map(|ip| ip.trim().parse().ok()).collect();
    hops.into_iter().rev().find(|ip| !trusted(ip)).or(Some(peer))
}

/// An answer with status 201.
#[derive(Debug)]
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}
