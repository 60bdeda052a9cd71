//! Prometheus metrics, one recorder per process, each series labelled with its service; scraped, and where there is a
//! collector also sent.

use std::{sync::OnceLock, time::Duration};

use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use crate::{consumer::Applied, outbox::Backlog};

mod exposition;
mod push;

pub(crate) use push::Pusher;

static RECORDER: OnceLock<Option<Recorder>> = OnceLock::new();

/// What was recorded since when.
struct Recorder {
    handle: PrometheusHandle,
    since: DateTime<Utc>,
}

/// Latency buckets in seconds, from a cached read to a slow model.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Buckets for the number of events in a batch.
const EVENTS: [f64; 6] = [1.0, 10.0, 50.0, 100.0, 500.0, 1000.0];

/// Buckets for the cost of a call in dollars, from a short question to a small model to a long one to a large one.
const DOLLARS: [f64; 6] = [0.000_1, 0.001, 0.01, 0.05, 0.25, 1.0];

/// Gauges tell of what is sampled every 30 seconds at the latest; what is sampled no more, such as the lag of a partition
/// that went to another consumer, disappears.
const GAUGE_LIFE: Duration = Duration::from_mins(2);

/// Installs the recorder at `now`; again does nothing.
pub fn install(now: DateTime<Utc>) {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_LIFE))
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_batch_events".into()), &EVENTS))
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_cost_usd".into()), &DOLLARS));
        let installed = builder.map(PrometheusBuilder::install_recorder);
        match installed {
            Ok(Ok(handle)) => Some(Recorder { handle, since: now }),
            Ok(Err(error)) | Err(error) => {
                tracing::error!(error = %error, "metrics are off: the recorder could not be installed");
                None
            }
        }
    });
}

/// All metrics in Prometheus' text format.
pub fn render() -> String {
    snapshot().map(|(text, _)| text).unwrap_or_default()
}

/// All metrics, and since when they are counted.
fn snapshot() -> Option<(String, DateTime<Utc>)> {
    let recorder = RECORDER.get()?.as_ref()?;
    Some((recorder.handle.render(), recorder.since))
}

/// Folds what was recorded into the histograms, so that their memory stays bounded when nobody scrapes.
pub fn upkeep() {
    if let Some(recorder) = RECORDER.get().and_then(Option::as_ref) {
        recorder.handle.run_upkeep();
    }
}

pub(crate) fn http(service: &'static str, method: &str, route: &str, status: u16, took: Duration) {
    let labels = [
        ("service", service.to_owned()),
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.to_string()),
    ];
    metrics::histogram!("http_request_duration_seconds", &labels).record(took);
}

pub(crate) fn rpc(service: &'static str, method: &str, code: &str, took: Duration) {
    let labels = [("service", service.to_owned()), ("method", method.to_owned()), ("code", code.to_owned())];
    metrics::histogram!("rpc_server_duration_seconds", &labels).record(took);
}

pub(crate) fn outbox(service: &'static str, backlog: Backlog) {
    metrics::gauge!("outbox_waiting_events", "service" => service).set(to_f64(backlog.waiting));
    metrics::gauge!("outbox_oldest_age_seconds", "service" => service).set(backlog.oldest_age);
    metrics::gauge!("outbox_parked_events", "service" => service).set(to_f64(backlog.parked));
}

/// The pool's connections: how many are open, how many of them are idle, and how many there may be.
pub(crate) fn pool(service: &'static str, [open, idle, most]: [usize; 3]) {
    for (state, connections) in [("idle", idle), ("used", open.saturating_sub(idle))] {
        metrics::gauge!("db_pool_connections", "service" => service, "state" => state).set(to_f64(connections));
    }
    metrics::gauge!("db_pool_max_connections", "service" => service).set(to_f64(most));
}

pub(crate) fn relayed(service: &'static str, events: usize, took: Duration) {
    metrics::counter!("outbox_published_total", "service" => service).increment(events as u64);
    metrics::histogram!("relay_batch_events", "service" => service).record(to_f64(events));
    metrics::histogram!("relay_batch_duration_seconds", "service" => service).record(took);
}

pub(crate) fn parked(service: &'static str) {
    metrics::counter!("outbox_parked_total", "service" => service).increment(1);
}

pub(crate) fn consumed(service: &'static str, group: &'static str, applied: Applied, took: Duration) {
    let labels = [("service", service), ("group", group)];
    metrics::counter!("consumer_events_applied_total", &labels).increment(applied.new as u64);
    metrics::counter!("consumer_events_duplicate_total", &labels).increment(applied.duplicates as u64);
    metrics::histogram!("consumer_batch_events", &labels).record(to_f64(applied.new + applied.duplicates));
    metrics::histogram!("consumer_batch_duration_seconds", &labels).record(took);
}

pub(crate) fn dead_letter(service: &'static str, group: &'static str, topic: &str) {
    let labels = [("service", service.to_owned()), ("group", group.to_owned()), ("topic", topic.to_owned())];
    metrics::counter!("consumer_events_dead_total", &labels).increment(1);
}

pub(crate) fn consumer_lag(service: &'static str, group: &'static str, topic: &str, partition: i32, lag: i64) {
    let labels = [
        ("service", service.to_owned()),
        ("group", group.to_owned()),
        ("topic", topic.to_owned()),
        ("partition", partition.to_string()),
    ];
    metrics::gauge!("consumer_lag_events", &labels).set(to_f64(lag));
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn to_f64(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or(i64::MAX) as f64
}
