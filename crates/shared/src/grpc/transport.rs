//! The client's side of RPCs: one kept connection to a service, a deadline for every call, and calls that are sent again
//! where the server has certainly not read them.
//!
//! A server that drains says so by GOAWAY and names the last call that it has read. Calls that were on their way then, or
//! waited in this process for their turn, would fail although nothing has happened; gRPC calls sending them again a
//! transparent retry (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries>).

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use anyhow::Context as _;
use tonic::{
    ConnectError, Status,
    body::Body,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use super::{SERVICE_SECRET, secret_header};
use crate::service_secret::ServiceSecret;

/// A way to a service's RPCs.
///
/// Its error is a `Status` rather than a boxed one, because futures over a boxed one are not `Send` in rustc's eyes.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// How often a call is sent at the most.
const SENDS: u32 = 4;
/// The wait before a call is sent for the second time; it grows with each further time. Altogether it is long enough for
/// a balancer to look elsewhere and too short to be noticed where nobody is there.
const PAUSE: Duration = Duration::from_millis(20);

/// How long calls may take: waiting for a connection, sending, and the server's work until its answer begins.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Most calls.
    pub usual: Duration,
    /// Those in `patient`.
    pub long: Duration,
    /// The names of the RPCs that may take `long`.
    pub patient: &'static [&'static str],
}

impl From<Duration> for Deadlines {
    /// The same for all calls.
    fn from(deadline: Duration) -> Self {
        Self { usual: deadline, long: deadline, patient: &[] }
    }
}

impl Deadlines {
    /// The deadline of the RPC at `path`, `/<package>.<Service>/<Rpc>`.
    fn of(self, path: &str) -> Duration {
        let rpc = path.rsplit('/').next().unwrap_or_default();
        if self.patient.contains(&rpc) { self.long } else { self.usual }
    }
}

/// A transport to the service at `url` (`host:port` or `http(s)://host:port`), connected when first used and again
/// whenever the connection breaks. Its calls end at their deadline and carry the current `secret`.
///
/// # Errors
/// Where `url` is not a valid address.
pub fn connect(url: &str, secret: &ServiceSecret, deadlines: impl Into<Deadlines>) -> anyhow::Result<Transport> {
    let uri = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let mut endpoint = Endpoint::from_shared(uri.clone()).with_context(|| format!("{url} is not an address"))?;
    if uri.starts_with("https://") {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_webpki_roots())?;
    }
    // The endpoint's own timeout would begin only when there is a connection.
    let channel = endpoint
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    let (secret, deadlines) = (secret_header(secret.current()), deadlines.into());
    Ok(BoxCloneSyncService::new(service_fn(move |mut request: http::Request<Body>| {
        request.headers_mut().insert(SERVICE_SECRET, secret.clone());
        let deadline = deadlines.of(request.uri().path());
        let sent = tokio::time::timeout(deadline, send(channel.clone(), request));
        async move { sent.await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer within the deadline"))) }
    })))
}

/// Sends `request`, and again where it was never read.
async fn send(channel: Channel, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    // One message, which is there already: no RPC takes a stream.
    let message = axum::body::to_bytes(axum::body::Body::new(body), usize::MAX).await;
    let message = message.map_err(|error| Status::from_error(error.into()))?;
    let mut sends = 1;
    loop {
        let body = Body::new(axum::body::Body::from(message.clone()));
        let error = match channel.clone().oneshot(http::Request::from_parts(parts.clone(), body)).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if !was_never_read(&error) {
            return Err(Status::from_error(error.into()));
        }
        if sends == SENDS {
            // tonic would call some of these cancelled, which is what it calls calls that took too long.
            let mut status = Status::unavailable("the call could not be sent");
            status.set_source(Arc::new(error));
            return Err(status);
        }
        tracing::debug!(rpc.path = parts.uri.path(), error = ?error, "a call that was never read is sent again");
        tokio::time::sleep(PAUSE * sends).await;
        sends += 1;
    }
}

/// Whether the server has certainly not read the call that ended so.
fn was_never_read(error: &(dyn StdError + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| {
        let refused = cause.downcast_ref::<ConnectError>().is_some_and(is_refusal);
        // The connection ended while the call waited to be written to it.
        let unsent = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        refused || unsent || cause.downcast_ref::<h2::Error>().is_some_and(is_unread)
    })
}

/// Whether a connection was refused or broken off in the making: at once, and perhaps only until a balancer looks elsewhere.
/// Silence has taken its time already.
fn is_refusal(error: &ConnectError) -> bool {
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    let failure = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    failure.is_some_and(|failure| failure.kind() != io::ErrorKind::TimedOut)
}

/// GOAWAY ends those calls alone that are younger than the last one read, and `REFUSED_STREAM` says so of a single call
/// (RFC 9113, 6.8 and 8.7).
fn is_unread(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_patient_rpcs_may_take_long() {
        let (usual, long) = (Duration::from_secs(1), Duration::from_secs(9));
        let deadlines = Deadlines { usual, long, patient: &["ExecuteFlow"] };
        assert_eq!(deadlines.of("/careeros.aicore.v1.AiCoreService/ExecuteFlow"), long);
        assert_eq!(deadlines.of("/careeros.aicore.v1.AiCoreService/ListFlows"), usual);
        assert_eq!(Deadlines::from(usual).of("/x/ExecuteFlow"), usual);
    }
}
