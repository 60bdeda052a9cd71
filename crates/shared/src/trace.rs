//! Distributed traces by OpenTelemetry: one trace from the client's request through RPCs, outbox and Kafka to the
//! consumers. Each hop makes its span a child of the W3C `traceparent` that came with the work, and sends its own on.
//!
//! Without a collector no span is made and the `traceparent` is passed on as it came.

use std::{borrow::Cow, time::SystemTime};

use anyhow::Context as _;
use axum::http::HeaderValue;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState, Tracer as _, TracerProvider,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    correlation::{self, TRACEPARENT},
    grpc::Transport,
};

/// Makes a service's spans.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<(SdkTracerProvider, SdkTracer)>);

/// What a hop does in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Publishes an event.
    Producer,
    /// Applies an event.
    Consumer,
}

impl Tracer {
    /// One that makes no spans.
    pub fn off() -> Self {
        Self::default()
    }

    /// One for `service` that sends the share `ratio` (0 to 1) of the traces that begin here, and all that began
    /// elsewhere and are sampled, to the collector at `endpoint` by OTLP over gRPC. Needs a Tokio runtime.
    ///
    /// # Errors
    /// Where `endpoint` is not an address.
    pub fn new(service: &'static str, endpoint: &str, ratio: f64) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.context("OTEL_EXPORTER_OTLP_ENDPOINT is not the address of a collector")?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(
                Resource::builder_empty()
                    .with_service_name(service)
                    .with_attribute(KeyValue::new("service.namespace", "careeros"))
                    .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                    .build(),
            )
            .build();
        let tracer = provider.tracer("careeros");
        Ok(Self(Some((provider, tracer))))
    }

    /// Whether spans are made at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span as a child of `parent`, a `traceparent`, or as the first of a new trace.
    pub fn start(&self, role: Role, name: impl Into<Cow<'static, str>>, parent: Option<&str>) -> Span {
        self.start_at(role, name, parent, None)
    }

    /// As [`Tracer::start`], for something that began at `began`.
    pub fn start_at(
        &self,
        role: Role,
        name: impl Into<Cow<'static, str>>,
        parent: Option<&str>,
        began: Option<SystemTime>,
    ) -> Span {
        let Some((_, tracer)) = &self.0 else { return Span(None) };
        let kind = match role {
            Role::Server => SpanKind::Server,
            Role::Client => SpanKind::Client,
            Role::Producer => SpanKind::Producer,
            Role::Consumer => SpanKind::Consumer,
        };
        let mut builder = SpanBuilder::from_name(name).with_kind(kind);
        builder.start_time = began;
        let parent = parent.and_then(parse).map_or_else(Context::new, |p| Context::new().with_remote_span_context(p));
        Span(Some(tracer.build_with_context(builder, &parent)))
    }

    /// Sends what is still here. Blocks.
    pub(crate) fn shutdown(self) {
        if let Some((provider, _)) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::debug!(error = %error, "the last spans were not sent");
        }
    }
}

/// A part of a trace; it ends when dropped.
#[derive(Debug)]
pub struct Span(Option<opentelemetry_sdk::trace::Span>);

impl Span {
    /// One that is not made.
    pub fn none() -> Self {
        Self(None)
    }

    /// What the next hop is to be told; nothing where no spans are made.
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span_context();
        let (trace, span) = (context.trace_id(), context.span_id());
        Some(format!("00-{trace:032x}-{span:016x}-{:02x}", context.trace_flags().to_u8() & 1))
    }

    /// Adds what OpenTelemetry's conventions call `key`.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks the work as failed for a reason that is a stable code, never text that a user wrote.
    pub fn fail(&mut self, code: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(code));
        }
    }
}

/// Completes the span of an RPC that ended with the gRPC status `code`:
/// <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>.
pub(crate) fn rpc_ended(span: &mut Span, code: &str) {
    span.set("rpc.system", "grpc");
    span.set("rpc.grpc.status_code", code.parse().unwrap_or(2_i64));
    // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: the caller is not to blame.
    if matches!(code, "2" | "4" | "12" | "13" | "14" | "15") {
        span.fail(code.to_owned());
    }
}

/// `transport` with a span for every call, which the server's then continues.
pub(crate) fn client(tracer: &Tracer, transport: Transport) -> Transport {
    if !tracer.is_on() {
        return transport;
    }
    let tracer = tracer.clone();
    BoxCloneSyncService::new(service_fn(move |mut request: http::Request<tonic::body::Body>| {
        let name = request.uri().path().trim_start_matches('/').to_owned();
        let mut span = tracer.start(Role::Client, name, correlation::sent(request.headers()));
        if let Some(traceparent) = span.traceparent().and_then(|text| HeaderValue::from_str(&text).ok()) {
            request.headers_mut().insert(TRACEPARENT, traceparent);
        }
        let transport = transport.clone();
        async move {
            let answered = transport.oneshot(request).await;
            match &answered {
                // The status of an answer with a body comes after it, and the server's span has it.
                Ok(answer) => {
                    let code = answer.headers().get("grpc-status").and_then(|code| code.to_str().ok());
                    rpc_ended(&mut span, code.unwrap_or("0"));
                }
                Err(status) => rpc_ended(&mut span, &i32::from(status.code()).to_string()),
            }
            answered
        }
    }))
}

/// Reads a `traceparent`: <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracer() -> Tracer {
        let provider = SdkTracerProvider::builder().build();
        let tracer = provider.tracer("test");
        Tracer(Some((provider, tracer)))
    }

    #[test]
    fn a_span_continues_the_trace_that_it_was_handed() {
        let child = tracer().start(Role::Server, "GET /x", Some(PARENT)).traceparent().unwrap();
        assert_eq!(child[..36], PARENT[..36], "the same trace");
        assert_ne!(child[36..52], PARENT[36..52], "a span of its own");
        assert!(child.ends_with("-01"));
    }

    #[test]
    fn without_a_parent_or_with_a_broken_one_a_trace_begins() {
        for parent in [None, Some("00-xyz-1-01"), Some("")] {
            let begun = tracer().start(Role::Server, "GET /x", parent).traceparent().unwrap();
            assert!(parse(&begun).is_some(), "{begun}");
        }
    }

    #[test]
    fn what_is_not_sampled_upstream_is_not_sampled_here() {
        let parent = PARENT.replace("-01", "-00");
        let child = tracer().start(Role::Client, "x", Some(&parent)).traceparent().unwrap();
        assert!(child.ends_with("-00"), "{child}");
    }

    #[test]
    fn one_that_is_off_passes_nothing_on() {
        assert_eq!(Tracer::off().start(Role::Server, "GET /x", Some(PARENT)).traceparent(), None);
    }
}
