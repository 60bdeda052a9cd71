use std::net::SocketAddr;

use careeros_auth::MIGRATIONS;
use careeros_shared::{
    boot::{Boot, Listeners},
    clock::Clock,
    env::Env,
    testing::{self, TestDb},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::PASSWORD;

/// The status and body of a request that ends its connection.
async fn send(address: SocketAddr, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn the_service_stands_alone_on_its_database() {
    let db = TestDb::new(&MIGRATIONS).await;
    // Neither a broker nor, above all, an auth service that this one could ask for its own keys.
    let env: Env = [
        ("DATABASE_URL", db.url.as_str()),
        ("KAFKA_BROKERS", "localhost:1"),
        ("AUTH_GRPC_URL", "localhost:1"),
        ("SERVICE_SHARED_SECRET", "a-secret-for-tests-only"),
        ("LOG_LEVEL", "warn"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect();
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = http.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let listeners = Some(Listeners { http, grpc: Some(grpc) });
    let boot = Boot { env, listeners, shutdown: shutdown.clone(), clock: Clock::system() };
    let service = tokio::spawn(careeros_auth::run(boot));

    testing::eventually("the keys are there before anybody asks for them", async || {
        let count = sqlx::query_scalar("select count(*) from signing_keys").fetch_one(&db.admin).await;
        count.unwrap_or(0_i64) == 1
    })
    .await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let (status, registered) = send(address, "POST", "/auth/register", "", &body).await;
    assert_eq!(status, 201, "{registered}");
    let token = registered["tokens"]["accessToken"].as_str().unwrap();
    let (status, me) = send(address, "GET", "/auth/me", token, &Value::Null).await;
    assert_eq!((status, &me["email"]), (200, &json!("ada@example.com")));
    let (status, jwks) = send(address, "GET", "/.well-known/jwks.json", "", &Value::Null).await;
    assert_eq!((status, jwks["keys"].as_array().unwrap().len()), (200, 1));
    let (status, ready) = send(address, "GET", "/health/ready", "", &Value::Null).await;
    let dependencies = &ready["dependencies"];
    assert_eq!((status, &dependencies["database"], &dependencies["signing-keys"]), (503, &json!("ok"), &json!("ok")));

    shutdown.cancel();
    service.await.unwrap().unwrap();
}
