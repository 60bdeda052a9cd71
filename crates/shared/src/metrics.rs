//! Prometheus metrics, one recorder per process, each series labelled with its service.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Latency buckets in seconds, from a cached read to a slow model.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Installs the recorder; again does nothing.
pub fn install() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
        let installed = builder.map(PrometheusBuilder::install_recorder);
        match installed {
            Ok(Ok(handle)) => Some(handle),
            Ok(Err(error)) | Err(error) => {
                tracing::error!(error = %error, "metrics are off: the recorder could not be installed");
                None
            }
        }
    });
}

/// All metrics in Prometheus' text format.
pub fn render() -> String {
    RECORDER.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds what was recorded into the histograms, so that their memory stays bounded when nobody scrapes.
pub fn upkeep() {
    if let Some(handle) = RECORDER.get().and_then(Option::as_ref) {
        handle.run_upkeep();
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
