//! Sends the metrics by OTLP over gRPC: every now and then what `/metrics` would answer, under the same names, in the same
//! units and buckets, cumulative since the process began.
//!
//! The recorder stays the one place where anything is counted, so nothing costs more until a snapshot is due, and what is
//! scraped and what is sent cannot differ. A snapshot that does not arrive is not sent again: the next one holds it.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, Sum, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::exposition::{self, Distribution, Family, Labels, Point, Points};
use crate::clock::Clock;

/// How often a snapshot is sent.
const INTERVAL: Duration = Duration::from_secs(15);
/// How long the collector may take for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take for the last one, when the service ends.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Sends one service's metrics.
#[derive(Debug)]
pub(crate) struct Pusher {
    service: &'static str,
    clock: Clock,
    resource: Resource,
    channel: Channel,
}

impl Pusher {
    /// One for `service` to the collector at `endpoint`.
    ///
    /// # Errors
    /// Where `endpoint` is not an address.
    pub(crate) fn new(service: &'static str, endpoint: &str, clock: Clock) -> anyhow::Result<Self> {
        let not_one = "OTEL_EXPORTER_OTLP_ENDPOINT is not the address of a collector";
        let mut address = Endpoint::from_shared(endpoint.to_owned()).context(not_one)?;
        if endpoint.starts_with("https://") {
            address = address.tls_config(ClientTlsConfig::new().with_webpki_roots())?;
        }
        let resource = Resource {
            attributes: vec![
                attribute("service.name", service),
                attribute("service.namespace", "careeros"),
                attribute("service.version", env!("CARGO_PKG_VERSION")),
                // Processes of one service count apart.
                attribute("service.instance.id", &crate::id::new(clock.now()).to_string()),
            ],
            ..Resource::default()
        };
        let channel = address.connect_timeout(Duration::from_secs(1)).timeout(PATIENCE).connect_lazy();
        Ok(Self { service, clock, resource, channel })
    }

    /// Sends a snapshot every [`INTERVAL`] until `shutdown`, and then the last one.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut away = false;
        while !shutdown.is_cancelled() {
            crate::relay::pause(INTERVAL, &shutdown).await;
            let patience = if shutdown.is_cancelled() { LAST_PATIENCE } else { PATIENCE };
            let sent = tokio::time::timeout(patience, self.send()).await;
            match sent.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("it did not answer in time"))) {
                Ok(()) => away = false,
                // Once for an outage.
                Err(status) if !away => {
                    away = true;
                    tracing::warn!(error = status.message(), "the collector does not take metrics; /metrics has them");
                }
                Err(status) => tracing::debug!(error = status.message(), "the collector still does not take metrics"),
            }
        }
    }

    async fn send(&self) -> Result<(), tonic::Status> {
        let Some((text, since)) = super::snapshot() else { return Ok(()) };
        let metrics = metrics(&text, self.service, Span { since: nanos(since), now: nanos(self.clock.now()) });
        if metrics.is_empty() {
            return Ok(());
        }
        let scope = InstrumentationScope { name: "careeros".to_owned(), ..InstrumentationScope::default() };
        let metrics = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
        let resource = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: vec![metrics],
            ..ResourceMetrics::default()
        };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
        MetricsServiceClient::new(self.channel.clone()).export(request).await.map(drop)
    }
}

/// What a snapshot covers, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Span {
    since: u64,
    now: u64,
}

/// Those of the metrics in `text` that are `service`'s: several may share a process.
fn metrics(text: &str, service: &str, span: Span) -> Vec<Metric> {
    let of_service = |labels: &Labels| labels.iter().any(|(name, value)| name == "service" && value == service);
    let mut metrics = Vec::new();
    for Family { name, points } in exposition::parse(text) {
        let data = match points {
            Points::Counter(points) => sum(numbers(points, of_service, span)),
            Points::Gauge(points) => Data::Gauge(Gauge { data_points: numbers(points, of_service, span) }),
            Points::Histogram(points) => histogram(points, of_service, span),
        };
        if !is_empty(&data) {
            metrics.push(Metric { unit: unit(&name).to_owned(), name, data: Some(data), ..Metric::default() });
        }
    }
    metrics
}

fn is_empty(data: &Data) -> bool {
    match data {
        Data::Sum(sum) => sum.data_points.is_empty(),
        Data::Gauge(gauge) => gauge.data_points.is_empty(),
        Data::Histogram(histogram) => histogram.data_points.is_empty(),
        _ => true,
    }
}

fn sum(data_points: Vec<NumberDataPoint>) -> Data {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
}

fn numbers(points: Vec<Point<f64>>, wanted: impl Fn(&Labels) -> bool, span: Span) -> Vec<NumberDataPoint> {
    let point = |Point { labels, value }: Point<f64>| NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: span.since,
        time_unix_nano: span.now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    points.into_iter().filter(|point| wanted(&point.labels)).map(point).collect()
}

fn histogram(points: Vec<Point<Distribution>>, wanted: impl Fn(&Labels) -> bool, span: Span) -> Data {
    let point = |Point { labels, value }: Point<Distribution>| HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: span.since,
        time_unix_nano: span.now,
        count: value.count,
        sum: Some(value.sum),
        bucket_counts: value.counts,
        explicit_bounds: value.bounds,
        ..HistogramDataPoint::default()
    };
    let data_points = points.into_iter().filter(|point| wanted(&point.labels)).map(point).collect();
    Data::Histogram(Histogram { data_points, aggregation_temporality: AggregationTemporality::Cumulative.into() })
}

/// The unit that a name ends in, in the words of UCUM; what is in braces says what is counted. A collector that makes
/// Prometheus' names of these adds nothing to them.
fn unit(name: &str) -> &'static str {
    match name.trim_end_matches("_total").rsplit('_').next() {
        Some("seconds") => "s",
        Some("events") => "{event}",
        Some("usd") => "{USD}",
        _ => "",
    }
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    labels.into_iter().map(|(name, value)| attribute(&name, &value)).collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn nanos(time: DateTime<Utc>) -> u64 {
    time.timestamp_nanos_opt().and_then(|nanos| nanos.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_names_end_in() {
        let units = ["x_seconds", "x_events_total", "ai_model_call_cost_usd", "throttled_requests_total", "x_events"];
        assert_eq!(units.map(unit), ["s", "{event}", "{USD}", "", "{event}"]);
    }

    #[test]
    fn each_service_of_a_process_sends_its_own() {
        let text = "# TYPE a_total counter\na_total{service=\"x\"} 1\na_total{service=\"y\",k=\"v\"} 2\n\
                    # TYPE b gauge\nb{service=\"x\"} 3\n";
        let sent = metrics(text, "y", Span { since: 1, now: 2 });
        assert_eq!(sent.len(), 1);
        let Some(Data::Sum(sum)) = &sent[0].data else { panic!("{sent:?}") };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
        let [point] = sum.data_points.as_slice() else { panic!("{sum:?}") };
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(2.0)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
        assert_eq!(point.attributes, [attribute("service", "y"), attribute("k", "v")]);
    }
}
