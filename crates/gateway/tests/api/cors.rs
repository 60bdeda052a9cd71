use axum::{
    body::Body,
    http::{Method, Request},
};

use crate::support::TestGateway;

async fn preflight(gateway: &TestGateway, origin: &str) -> Option<String> {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri("/v1/roadmaps")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,idempotency-key")
        .body(Body::empty())
        .unwrap();
    let answer = gateway.service.send(request).await.expect(200);
    let allowed = answer.headers.get("access-control-allow-origin");
    allowed.map(|origin| origin.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn only_listed_origins_may_call_from_a_browser() {
    let listed = [("CORS_ALLOWED_ORIGINS", "https://app.example.com")];
    let gateway = TestGateway::start(&listed, &[]).await;
    assert_eq!(preflight(&gateway, "https://app.example.com").await.as_deref(), Some("https://app.example.com"));
    assert_eq!(preflight(&gateway, "https://evil.example.com").await, None);
    let open = TestGateway::start(&[], &[]).await;
    assert_eq!(preflight(&open, "https://anywhere.example.com").await.as_deref(), Some("*"));
}

#[tokio::test]
async fn a_page_may_read_errors_too() {
    let gateway = TestGateway::start(&[], &[]).await;
    for (method, path, status) in [("GET", "/v1/nothing", 404), ("DELETE", "/v1/roadmaps", 405)] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("origin", "https://app.example.com")
            .body(Body::empty())
            .unwrap();
        let answer = gateway.service.send(request).await.expect(status);
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{method} {path}");
    }
}
