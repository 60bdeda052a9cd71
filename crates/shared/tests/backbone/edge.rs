use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    http::Request,
    routing::{get, post},
};
use careeros_shared::{
    ending::Ending,
    error::Error,
    extract,
    health::Readiness,
    http::{self, Edge},
    testing,
    testing::TestService,
    trace::Tracer,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    value: Value,
}

fn service() -> TestService {
    let routes = Router::new()
        .route("/echo", post(async |extract::Json(echo): extract::Json<Echo>| Json(echo.value)))
        .route("/panic", get(async || -> Json<()> { panic!("a secret detail") }));
    TestService::new(&testing::clock(), Routes::default(), |_| routes)
}

#[tokio::test]
async fn every_answer_carries_the_correlation_id() {
    let service = service();
    let request = Request::get("/nowhere").header("x-correlation-id", "order-7").body(Body::empty()).unwrap();
    let answer = service.send(request).await.expect(404);
    assert_eq!(answer.headers["x-correlation-id"], "order-7");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.json["correlation_id"], "order-7");
    assert_eq!(answer.json["instance"], "/nowhere");
    let made = service.get("", "/health").await.expect(200);
    assert!(made.headers.contains_key("x-correlation-id"));
    assert_eq!((&made.json["status"], &made.json["service"]), (&json!("ok"), &json!("test-service")));
}

#[tokio::test]
async fn malformed_requests_are_problems_and_never_5xx() {
    let service = service();
    let post = |body: String| Request::post("/echo").header("content-type", "application/json").body(Body::from(body));
    for (body, status) in [
        (String::new(), 400),
        ("{".to_owned(), 400),
        ("[]".to_owned(), 400),
        (r#"{"value":1,"more":2}"#.to_owned(), 400),
        (format!(r#"{{"value":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000)), 400),
        (format!(r#"{{"value":"{}"}}"#, "x".repeat(1_100_000)), 413),
    ] {
        let answer = service.send(post(body).unwrap()).await.expect(status);
        assert_eq!(answer.json["status"], status);
    }
    service.get("", "/echo").await.expect(405);
    let text = Request::post("/echo").header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    service.send(text).await.expect(415);
    let large = Request::get("/health").header("x-large", "x".repeat(20_000)).body(Body::empty()).unwrap();
    service.send(large).await.expect(431);
}

#[tokio::test]
async fn a_panic_is_a_problem_without_its_text() {
    let answer = service().get("", "/panic").await.expect(500);
    assert!(!answer.text.contains("secret"), "{}", answer.text);
    assert_eq!(answer.json["code"], "internal");
}

fn edge(ending: Ending) -> Edge {
    Edge {
        service: "test-service",
        clock: testing::clock(),
        verifier: testing::verifier(),
        trusted_proxies: Vec::new(),
        timeout: Duration::from_secs(30),
        ending,
        tracer: Tracer::off(),
    }
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_open_for_the_next_request() {
    let routes = Router::new().route("/closed", post(async || Error::unauthenticated("a token is needed")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let router = http::router(routes, edge(Ending::default()), Readiness::default());
    let _server = tokio::spawn(http::serve(listener, router, CancellationToken::new()));
    for _ in 0..2 {
        // Python's and Java's clients send head and body apart.
        client.write_all(b"POST /closed HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\n").await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        client.write_all(b"{}").await.unwrap();
        let mut answer = vec![0; 4096];
        let length = client.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}

/// Asks over `client` for `path`; the answer, and whether the connection was closed after it.
async fn ask(client: &mut TcpStream, path: &str) -> (String, bool) {
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await.unwrap();
    answer(client).await
}

/// The answer that comes over `client`, and whether the connection was closed after it.
async fn answer(client: &mut TcpStream) -> (String, bool) {
    let mut answer = vec![0; 4096];
    let length = client.read(&mut answer).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_millis(200), client.read(&mut [0; 1])).await;
    (String::from_utf8_lossy(&answer[..length]).into_owned(), matches!(closed, Ok(Ok(0))))
}

#[tokio::test]
async fn a_server_that_is_asked_to_end_answers_on_and_lets_its_connections_go() {
    let ending = Ending::default();
    let (reached, mut requests) = tokio::sync::mpsc::channel(1);
    let slow = async move || {
        reached.send(()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let routes = Router::new().route("/slow", get(slow));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = http::router(routes, edge(ending.clone()), Readiness::default());
    let server = tokio::spawn(http::serve(listener, router, ending.closing.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let (answer, closed) = ask(&mut client, "/health/ready").await;
    assert!(answer.starts_with("HTTP/1.1 200") && !closed, "{answer}");

    ending.asked.cancel();
    let (answer, closed) = ask(&mut client, "/health/live").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close") && closed, "{answer}");
    let mut client = TcpStream::connect(address).await.unwrap();
    let (answer, _) = ask(&mut client, "/health/ready").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"stopping\""), "{answer}");

    let mut client = TcpStream::connect(address).await.unwrap();
    let waiting = tokio::spawn(async move { ask(&mut client, "/slow").await });
    requests.recv().await.unwrap();
    ending.closing.cancel();
    ending.overdue.cancel();
    let (answer, closed) = waiting.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1") && closed, "{answer}");
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_a_client_has_sent_before_the_server_closes_is_answered() {
    let ending = Ending::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = http::router(Router::new(), edge(ending.clone()), Readiness::default());
    let server = tokio::spawn(http::serve(listener, router, ending.closing.clone()));
    // These have been taken when one that came later is answered.
    let taken: Vec<_> = (0..8).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let (_, closed) = ask(&mut TcpStream::connect(address).await.unwrap(), "/health/live").await;
    assert!(!closed);
    // Nothing is awaited from here on, so that the server, which shares this thread, has not seen any of it when it closes.
    let queued = (0..8).map(|_| std::net::TcpStream::connect(address).unwrap());
    let clients: Vec<_> = taken.into_iter().chain(queued).collect();
    for mut client in &clients {
        std::io::Write::write_all(&mut client, b"GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    }
    ending.asked.cancel();
    ending.closing.cancel();
    for client in clients {
        client.set_nonblocking(true).unwrap();
        let (answer, closed) = answer(&mut TcpStream::from_std(client).unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close") && closed, "{answer}");
    }
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
