//! Calls to a service that goes away: what was not read is sent again, and nothing waits beyond its deadline.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use careeros_shared::{
    clock::Clock,
    grpc::{self, Guard, Services, Transport, check_health},
    health::Readiness,
    testing,
    trace::Tracer,
};
use futures::future::join_all;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

const SECRET: &str = "a-secret-for-tests-only";
const DEADLINE: Duration = Duration::from_secs(1);

fn transport(port: u16) -> Transport {
    grpc::connect(&format!("127.0.0.1:{port}"), &testing::service_secret(SECRET), DEADLINE).unwrap()
}

/// A server that has its health to offer, and ends gracefully when the token says so.
fn serve(listener: TcpListener, readiness: Readiness) -> CancellationToken {
    let guard = Guard {
        service: "test-service",
        secret: testing::service_secret(SECRET),
        verifier: testing::verifier(),
        clock: Clock::system(),
        tracer: Tracer::off(),
    };
    let shutdown = CancellationToken::new();
    let serving = Services::new(Routes::default(), guard).serve(listener, readiness, shutdown.clone());
    tokio::spawn(async move { serving.await.unwrap() });
    shutdown
}

/// Listens as soon as whoever did before has stopped.
async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_in_use) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn calls_during_an_orderly_stop_are_answered_by_whoever_serves_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = (Arc::clone(&begun), Arc::clone(&may_end));
    let readiness = Readiness::default().with("slow", move || {
        let (begun, may_end) = slow.clone();
        async move {
            begun.add_permits(1);
            may_end.acquire().await.map(drop).map_err(|error| error.to_string())
        }
    });
    let shutdown = serve(listener, readiness);
    let transport = transport(address.port());
    let under_way = tokio::spawn(check_health(transport.clone()));
    begun.acquire().await.unwrap().forget();

    // The connection stays open for the call under way, and takes no other.
    shutdown.cancel();
    serve(bind(address).await, Readiness::default());
    for call in 0..50 {
        assert_eq!(check_health(transport.clone()).await, Ok(()), "call {call}");
    }
    may_end.add_permits(1);
    assert_eq!(under_way.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn calls_under_load_outlive_many_orderly_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let transport = transport(address.port());
    let mut shutdown = serve(listener, Readiness::default());
    let done = CancellationToken::new();
    let callers = (0..8).map(|_| {
        let (transport, done) = (transport.clone(), done.clone());
        tokio::spawn(async move {
            let mut calls = 0;
            while !done.is_cancelled() {
                assert_eq!(check_health(transport.clone()).await, Ok(()), "after {calls} calls");
                calls += 1;
            }
            calls
        })
    });
    let callers: Vec<_> = callers.collect();
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        shutdown.cancel();
        shutdown = serve(bind(address).await, Readiness::default());
    }
    done.cancel();
    for calls in join_all(callers).await {
        assert!(calls.unwrap() > 0);
    }
}

/// Makes 20 calls at once to a server that never answers.
async fn all_end_in_time(port: u16) {
    let transport = transport(port);
    let started = Instant::now();
    let calls = join_all((0..20).map(|_| check_health(transport.clone())));
    let answers = timeout(DEADLINE + Duration::from_millis(500), calls).await.expect("no call outlives its deadline");
    assert!(started.elapsed() >= DEADLINE);
    for answer in answers {
        assert!(answer.unwrap_err().contains("does not answer"));
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    all_end_in_time(listener.local_addr().unwrap().port()).await;
}

#[tokio::test]
async fn a_server_that_cannot_even_be_connected_to_is_given_up_at_the_deadline() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Once its queue is full, further connections get no answer, as from a machine that is gone.
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    all_end_in_time(address.port()).await;
}
