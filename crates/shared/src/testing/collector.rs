//! A collector that keeps the spans and metrics that it is sent by OTLP over gRPC.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{Metric, ResourceMetrics},
    trace::v1::{Span, status::StatusCode},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::Server};

/// A span as it came.
#[derive(Debug, Clone)]
pub struct SeenSpan {
    /// The service that made it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// The trace that it is part of, in hexadecimal.
    pub trace: String,
    /// Its id, in hexadecimal.
    pub id: String,
    /// Its parent's id, in hexadecimal.
    pub parent: String,
    /// Whether it says that the work failed.
    pub failed: bool,
    /// Its attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// All of it, for searches.
    pub everything: String,
}

/// A metric as it came, with what it is of.
#[derive(Debug, Clone)]
pub struct SeenMetric {
    /// The attributes of the resource that it is of, as text.
    pub resource: BTreeMap<String, String>,
    /// The metric.
    pub metric: Metric,
}

/// A running collector; it serves as long as the test's runtime.
#[derive(Debug, Clone)]
pub struct Collector {
    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to.
    pub url: String,
    spans: Arc<Mutex<Vec<SeenSpan>>>,
    metrics: Arc<Mutex<Vec<SeenMetric>>>,
}

impl Collector {
    /// Starts one on a port of its own.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let collector = Self { url, spans: Arc::default(), metrics: Arc::default() };
        let server = Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()));
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(server.serve_with_incoming(incoming));
        collector
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<SeenSpan> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of a trace.
    pub fn spans_of(&self, trace: &str) -> Vec<SeenSpan> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }

    /// All metrics so far, each once for every time that it was sent, the last ones last.
    pub fn metrics(&self) -> Vec<SeenMetric> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `attributes` as text.
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(whether)) => whether.to_string(),
        other => format!("{other:?}"),
    }
}

fn seen(service: &str, span: &Span) -> SeenSpan {
    let failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
    SeenSpan {
        service: service.to_owned(),
        name: span.name.clone(),
        trace: hex::encode(&span.trace_id),
        id: hex::encode(&span.span_id),
        parent: hex::encode(&span.parent_span_id),
        failed,
        attributes: texts(&span.attributes),
        everything: format!("{span:?}"),
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let of = texts(resource.resource.as_ref().map_or(&[], |resource| &resource.attributes));
            let service = of.get("service.name").map(String::as_str).unwrap_or_default();
            let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans).map(|span| seen(service, span));
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        for ResourceMetrics { resource, scope_metrics, .. } in request.into_inner().resource_metrics {
            let of = texts(resource.as_ref().map_or(&[], |resource| &resource.attributes));
            let metrics = scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            let metrics = metrics.map(|metric| SeenMetric { resource: of.clone(), metric });
            self.metrics.lock().unwrap_or_else(PoisonError::into_inner).extend(metrics);
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
