//! Metrics by OTLP: what a collector is sent is what `/metrics` answers.

use careeros_shared::{
    boot::{Boot, Listeners, Runtime},
    clock::Clock,
    config::{self, Service},
    env::Env,
    testing::{Collector, SeenMetric, texts},
};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric::Data};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Metrics are counted by process, so these services have names of their own.
const SERVICE: Service = Service { name: "measured-service", http_port: 0, grpc_port: 0 };
const UNHEARD: Service = Service { name: "unheard-service", http_port: 0, grpc_port: 0 };

/// Runs the service with a collector through three requests for nothing; what `/metrics` said of it in the end.
async fn run(service: &'static Service, collector: &str) -> String {
    drop(rustls::crypto::ring::default_provider().install_default());
    let variables = [("SERVICE_SHARED_SECRET", "a-secret-for-tests-only"), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector)];
    let env: Env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let (common, ()) = config::load(service, &env, |_| ()).await.unwrap();
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", http.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let listeners = Some(Listeners { http, grpc: None });
    let boot = Boot { env, listeners, shutdown: shutdown.clone(), clock: Clock::system() };
    let runtime = Runtime::new(service, common, boot).unwrap();
    let served = tokio::spawn(runtime.serve_http(axum::Router::new()));
    for _ in 0..3 {
        assert_eq!(reqwest::get(format!("{url}/nowhere")).await.unwrap().status(), 404);
    }
    let scraped = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    shutdown.cancel();
    served.await.unwrap().unwrap();
    scraped
}

#[tokio::test]
async fn a_service_that_ends_has_sent_what_it_has_counted() {
    let collector = Collector::start().await;
    let scraped = run(&SERVICE, &collector.url).await;
    let line = "http_request_duration_seconds_count{service=\"measured-service\",method=\"GET\",route=\"unmatched\",\
                status=\"404\"} 3";
    assert!(scraped.contains(line), "{scraped}");

    let sent = collector.metrics();
    let named = |seen: &&SeenMetric| seen.metric.name == "http_request_duration_seconds";
    let SeenMetric { resource, metric } = sent.iter().rfind(named).unwrap();
    assert_eq!((&*resource["service.name"], &*resource["service.namespace"]), (SERVICE.name, "careeros"));
    assert!(resource.contains_key("service.instance.id"), "{resource:?}");
    assert_eq!(metric.unit, "s");
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
    assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
    let points = || histogram.data_points.iter().map(|point| (texts(&point.attributes), point));
    assert!(points().all(|(labels, _)| labels["service"] == SERVICE.name), "{histogram:?}");
    let (_, point) = points().find(|(labels, _)| labels["status"] == "404").unwrap();
    assert_eq!((point.count, point.bucket_counts.iter().sum()), (3, 3));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert!(point.start_time_unix_nano < point.time_unix_nano);
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up() {
    let started = std::time::Instant::now();
    run(&UNHEARD, "http://127.0.0.1:1").await;
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}
