//! gRPC on both sides: channels to other services, the layer that establishes who calls, serving with health and
//! reflection.
//!
//! A [`Transport`] is either a connection to another service or this process's own services: the REST routes of a service
//! call its RPCs through the second, so that the same handlers serve the gateway and the service's own port.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_client::HealthClient,
    health_server::{Health as HealthService, HealthServer},
};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tracing::Instrument;

use crate::{
    clock::Clock,
    context::{self, Client, Context},
    correlation::{self, Correlation},
    error::{Error, Result},
    health::Readiness,
    identity::{Caller, Verifier},
    metrics, proto,
    service_secret::ServiceSecret,
    trace::{self, Role, Tracer},
};

mod transport;

pub use transport::{Deadlines, Transport, connect};

/// How long a connection is used until its client is asked to make another; calls under way are finished.
const CONNECTION_AGE: Duration = Duration::from_mins(5);
/// The metadata key that carries the shared secret of service-to-service calls.
const SERVICE_SECRET: HeaderName = HeaderName::from_static("x-service-secret");
/// The metadata key by which a service says that it calls in its own name and not for a user.
pub(crate) const ACTING_AS: HeaderName = HeaderName::from_static("x-acting-as");

/// A transport to services of this very process, through the same layer as calls from outside.
pub fn in_process(services: &Services) -> Transport {
    let secret = secret_header(services.guard.secret.current());
    let service = services.router.clone().map_request(move |mut request: http::Request<Body>| {
        request.headers_mut().insert(SERVICE_SECRET, secret.clone());
        request
    });
    BoxCloneSyncService::new(service.map_response(|r| r.map(Body::new)).map_err(|never| match never {}))
}

/// Wraps `message` for a call in the service's own name that no request caused.
pub fn service_request<M>(message: M, now: DateTime<Utc>) -> tonic::Request<M> {
    Context::internal(now).request(message)
}

/// The context that the layer put into `request`, and its message.
///
/// # Errors
/// `INTERNAL` where the layer is missing.
pub fn open<M>(request: tonic::Request<M>) -> Result<(Arc<Context>, M), Status> {
    let context = request
        .extensions()
        .get::<Arc<Context>>()
        .cloned()
        .ok_or_else(|| Status::internal("the call did not pass the context layer"))?;
    Ok((context, request.into_inner()))
}

/// Whether the service behind `transport` says that it is serving.
///
/// # Errors
/// What is wrong and where to look.
pub async fn check_health(transport: Transport) -> Result<(), String> {
    let answer = HealthClient::new(transport).check(HealthCheckRequest::default()).await;
    match answer.map(|response| response.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(_) => Err("one of its own dependencies is away; its /health/ready names it".to_owned()),
        Err(status) => Err(format!("it does not answer: {}", Error::from(status).message())),
    }
}

/// What the layer needs to establish who calls.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The service's name, for metrics.
    pub service: &'static str,
    /// The secret that other services prove themselves by.
    pub secret: ServiceSecret,
    /// Checks users' tokens.
    pub verifier: Verifier,
    /// Tells the time.
    pub clock: Clock,
    /// Makes the spans of calls.
    pub tracer: Tracer,
}

/// A service's RPCs behind the layer that establishes who calls.
#[derive(Debug, Clone)]
pub struct Services {
    router: axum::Router,
    guard: Arc<Guard>,
}

impl Services {
    /// Puts `routes` behind `guard`.
    pub fn new(routes: Routes, guard: Guard) -> Self {
        let guard = Arc::new(guard);
        let router = routes.into_axum_router().layer(from_fn_with_state(Arc::clone(&guard), establish));
        Self { router, guard }
    }

    /// Serves the RPCs with health and reflection on `listener` until `shutdown`; calls under way are finished.
    ///
    /// # Errors
    /// Where the server fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let health = HealthServer::new(Health { readiness });
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // An answer is written in parts, each of which would otherwise wait until the one before it is acknowledged, which
        // takes up to 40 ms. The server's own setting does not reach connections that it is handed.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            // Clients keep one connection, which a balancer gives to one process: now and then they are to choose anew.
            .max_connection_age(CONNECTION_AGE)
            .add_routes(Routes::from(self.router))
            .add_service(health)
            .add_service(reflection().build_v1()?)
            // What Python's client and older tools ask for; the same under its former name.
            .add_service(reflection().build_v1alpha()?)
            .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
            .await
            .context("the gRPC server failed")
    }
}

/// `grpc.health.v1`: a service is serving while its dependencies answer.
struct Health {
    readiness: Readiness,
}

impl Health {
    async fn status(readiness: &Readiness) -> HealthCheckResponse {
        let status = if readiness.check().await.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
        HealthCheckResponse { status: status.into() }
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        known(&request.into_inner().service)?;
        Ok(tonic::Response::new(Self::status(&self.readiness).await))
    }

    /// Says the status now and then whenever it is another.
    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        known(&request.into_inner().service)?;
        let states = futures::stream::unfold((self.readiness.clone(), None), async |(readiness, last)| {
            loop {
                let next = Self::status(&readiness).await;
                if last != Some(next.status) {
                    return Some((Ok(next), (readiness, Some(next.status))));
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
        Ok(tonic::Response::new(Box::pin(states)))
    }
}

/// The empty name, which stands for the whole server, and the names of the contract's services.
fn known(service: &str) -> Result<(), Status> {
    let set: prost_types::FileDescriptorSet =
        prost::Message::decode(proto::DESCRIPTORS).map_err(|error| Status::from(Error::internal(error)))?;
    let mut names = set
        .file
        .iter()
        .flat_map(|file| file.service.iter().map(move |service| format!("{}.{}", file.package(), service.name())));
    if service.is_empty() || names.any(|name| name == service) {
        Ok(())
    } else {
        Err(Error::not_found("service").into())
    }
}

fn secret_header(secret: &SecretString) -> HeaderValue {
    // A secret that is no header value is refused when the configuration is read.
    let mut value =
        HeaderValue::from_str(secret.expose_secret()).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
    value.set_sensitive(true);
    value
}

/// Puts the [`Context`] into the request, and measures and traces the call.
async fn establish(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let started = std::time::Instant::now();
    let mut context = match read_context(&guard, request.headers()).await {
        Ok(context) => context,
        Err(error) => return Status::from(error).into_http::<axum::body::Body>().into_response(),
    };
    let rpc = request.uri().path().trim_start_matches('/').to_owned();
    let mut traced = guard.tracer.start(Role::Server, rpc.clone(), correlation::sent(request.headers()));
    context.correlation.continue_as(&traced);
    let span = tracing::info_span!("rpc", service = guard.service, correlation_id = context.correlation.id);
    request.extensions_mut().insert(Arc::new(context));
    let response = next.run(request).instrument(span.clone()).await;
    let code = response.headers().get("grpc-status").and_then(|v| v.to_str().ok()).unwrap_or("0").to_owned();
    if response.status() == StatusCode::OK && code != "12" {
        metrics::rpc(guard.service, &rpc, &code, started.elapsed());
    }
    trace::rpc_ended(&mut traced, &code);
    span.in_scope(|| {
        let millis = started.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(rpc.method = rpc, rpc.code = code, duration_ms = millis, "answered a call");
    });
    response
}

async fn read_context(guard: &Guard, headers: &HeaderMap) -> Result<Context> {
    let now = guard.clock.now();
    let trusted = match headers.get(SERVICE_SECRET) {
        None => false,
        Some(sent) if guard.secret.accepts(sent.as_bytes()) => true,
        Some(_) => {
            return Err(Error::unauthenticated("the service secret is not the one that this service expects"));
        }
    };
    let token = context::bearer(headers);
    let caller = match token {
        Some(token) => guard.verifier.verify(token, now).await.map(Caller::User).map_err(Arc::new),
        None if trusted && headers.get(ACTING_AS).is_some_and(|v| v == "service") => Ok(Caller::Service),
        None => Ok(Caller::Anonymous),
    };
    let ip = headers.get(context::CLIENT_IP).filter(|_| trusted).and_then(|v| v.to_str().ok()?.parse().ok());
    Ok(Context {
        now,
        correlation: Correlation::from_headers(headers, now),
        client: Client { ip, agent: context::agent(headers, context::CLIENT_AGENT) },
        idempotency_key: context::idempotency_key(headers)?,
        token: token.map(SecretString::from),
        caller,
    })
}
