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
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    service::Routes,
    transport::{Channel, ClientTlsConfig, Endpoint, Server},
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
    correlation::Correlation,
    error::{Error, Result},
    health::Readiness,
    identity::{Caller, Verifier},
    metrics, proto,
};

/// The metadata key that carries the shared secret of service-to-service calls.
const SERVICE_SECRET: HeaderName = HeaderName::from_static("x-service-secret");
/// The metadata key by which a service says that it calls in its own name and not for a user.
pub(crate) const ACTING_AS: HeaderName = HeaderName::from_static("x-acting-as");

/// A way to a service's RPCs.
///
/// Its error is a `Status` rather than a boxed one, because futures over a boxed one are not `Send` in rustc's eyes.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// A transport to the service at `url` (`host:port` or `http(s)://host:port`), connected when first used and again
/// whenever the connection breaks. Calls end after `timeout` and carry `secret`.
///
/// # Errors
/// Where `url` is not a valid address.
pub fn connect(url: &str, secret: &SecretString, timeout: Duration) -> anyhow::Result<Transport> {
    let uri = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let mut endpoint = Endpoint::from_shared(uri.clone()).with_context(|| format!("{url} is not an address"))?;
    if uri.starts_with("https://") {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_webpki_roots())?;
    }
    let channel = endpoint
        .timeout(timeout)
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    Ok(with_secret(channel, secret))
}

fn with_secret(channel: Channel, secret: &SecretString) -> Transport {
    let secret = secret_header(secret);
    let service = channel.map_request(move |mut request: http::Request<Body>| {
        request.headers_mut().insert(SERVICE_SECRET, secret.clone());
        request
    });
    BoxCloneSyncService::new(service.map_err(|error| Status::from_error(error.into())))
}

/// A transport to services of this very process, through the same layer as calls from outside.
pub fn in_process(services: &Services) -> Transport {
    let secret = secret_header(&services.guard.secret);
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
    pub secret: SecretString,
    /// Checks users' tokens.
    pub verifier: Verifier,
    /// Tells the time.
    pub clock: Clock,
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
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
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
    let context = match read_context(&guard, request.headers()).await {
        Ok(context) => context,
        Err(error) => return Status::from(error).into_http::<axum::body::Body>().into_response(),
    };
    let span = tracing::info_span!("rpc", service = guard.service, correlation_id = context.correlation.id);
    let rpc = request.uri().path().trim_start_matches('/').to_owned();
    request.extensions_mut().insert(Arc::new(context));
    let response = next.run(request).instrument(span.clone()).await;
    let code = response.headers().get("grpc-status").and_then(|v| v.to_str().ok()).unwrap_or("0").to_owned();
    if response.status() == StatusCode::OK && code != "12" {
        metrics::rpc(guard.service, &rpc, &code, started.elapsed());
    }
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
        Some(sent) if bool::from(sent.as_bytes().ct_eq(guard.secret.expose_secret().as_bytes())) => true,
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
