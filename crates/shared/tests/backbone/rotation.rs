//! `SERVICE_SHARED_SECRET` is changed step by step, without a refused call between services that are at neighbouring steps.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, http::HeaderValue, response::IntoResponse, routing::post};
use careeros_shared::{
    clock::Clock,
    context::Context,
    grpc::{self, Guard, Services, Transport},
    health::Readiness,
    identity::Caller,
    service_secret::ServiceSecret,
    testing,
    trace::Tracer,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, service::Routes};
use tower::ServiceExt;

const STEPS: [&str; 4] = [
    "the-old-secret-of-all",
    "the-old-secret-of-all,the-new-secret-of-all",
    "the-new-secret-of-all,the-old-secret-of-all",
    "the-new-secret-of-all",
];

/// An RPC for services alone.
async fn trusted(Extension(context): Extension<Arc<Context>>) -> impl IntoResponse {
    let code = if matches!(context.caller(), Ok(Caller::Service)) { "0" } else { "7" };
    ([("content-type", "application/grpc"), ("grpc-status", code)], ())
}

/// The gRPC status of a call in the caller's own name.
async fn call(transport: Transport) -> String {
    let request = http::Request::post("http://peer/test.Peer/Ask").header("x-acting-as", "service");
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let answer = transport.oneshot(request.body(Body::empty()).unwrap()).await;
    let status = |header: Option<&HeaderValue>| header.map_or("none", |code| code.to_str().unwrap()).to_owned();
    answer.map_or_else(|error| format!("{error:?}"), |answer| status(answer.headers().get("grpc-status")))
}

/// A service that is started again and again, and asks its peer all the time.
struct Peer {
    address: SocketAddr,
    shutdown: CancellationToken,
    to_other: watch::Sender<Option<Transport>>,
}

impl Peer {
    async fn new() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Self { address, shutdown: CancellationToken::new(), to_other: watch::Sender::new(None) }, listener)
    }

    /// Serves and calls `other` with `secret` from now on.
    fn start(&mut self, listener: TcpListener, other: SocketAddr, secret: &ServiceSecret) {
        let guard = Guard {
            service: "test-service",
            secret: secret.clone(),
            verifier: testing::verifier(),
            clock: Clock::system(),
            tracer: Tracer::off(),
        };
        let routes = Routes::from(axum::Router::new().route("/test.Peer/Ask", post(trusted)));
        let (shutdown, stopped) = (CancellationToken::new(), std::mem::take(&mut self.shutdown));
        self.shutdown = shutdown.clone();
        stopped.cancel();
        let serving = Services::new(routes, guard).serve(listener, Readiness::default(), shutdown);
        tokio::spawn(async move { serving.await.unwrap() });
        let transport = grpc::connect(&other.to_string(), secret, Duration::from_secs(5)).unwrap();
        self.to_other.send_replace(Some(transport));
    }

    /// Starts anew with `secret`, in an orderly way.
    async fn restart(&mut self, other: SocketAddr, secret: &ServiceSecret) {
        self.shutdown.cancel();
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_in_use) => tokio::task::yield_now().await,
            }
        };
        self.start(listener, other, secret);
    }

    /// Asks the other service until `done`; how often.
    fn ask(&self, done: CancellationToken) -> tokio::task::JoinHandle<usize> {
        let to_other = self.to_other.subscribe();
        tokio::spawn(async move {
            let mut calls = 0;
            while !done.is_cancelled() {
                let transport = to_other.borrow().clone().unwrap();
                assert_eq!(call(transport).await, "0", "after {calls} calls");
                calls += 1;
            }
            calls
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_that_call_each_other_all_the_time_change_the_secret_without_a_refused_call() {
    let (mut a, listener_a) = Peer::new().await;
    let (mut b, listener_b) = Peer::new().await;
    let secrets = STEPS.map(testing::service_secret);
    a.start(listener_a, b.address, &secrets[0]);
    b.start(listener_b, a.address, &secrets[0]);
    let done = CancellationToken::new();
    let callers: Vec<_> = [&a, &b, &a, &b].map(|peer| peer.ask(done.clone())).into();
    for secret in &secrets[1..] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        a.restart(b.address, secret).await;
        // One is a step ahead of the other for a while.
        tokio::time::sleep(Duration::from_millis(100)).await;
        b.restart(a.address, secret).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    done.cancel();
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn who_is_two_steps_behind_is_refused() {
    let (mut callee, listener) = Peer::new().await;
    callee.start(listener, callee.address, &testing::service_secret(STEPS[3]));
    for (step, code) in [(0, "16"), (1, "16"), (2, "0"), (3, "0")] {
        let secret = testing::service_secret(STEPS[step]);
        let transport = grpc::connect(&callee.address.to_string(), &secret, Duration::from_secs(5)).unwrap();
        assert_eq!(call(transport).await, code, "{}", STEPS[step]);
    }
}
