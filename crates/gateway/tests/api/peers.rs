use axum::{body::Body, http::Request};
use careeros_shared::{
    health::Readiness,
    testing::{self, TestUser},
};
use serde_json::json;

use crate::support::TestGateway;

#[tokio::test]
async fn a_service_that_is_away_is_503_and_named_by_readiness() {
    let ada = TestUser::student();
    let gateway = TestGateway::start(&[], &[&ada]).await;
    let service = &gateway.service;
    let answer = service.get(&ada.token, &format!("/v1/edu-tracker/progress/{}", ada.id)).await.expect(503);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    service.get(&ada.token, &format!("/v1/profiles/{}", ada.id)).await.expect(200);

    let report = gateway.peers.readiness(Readiness::default()).check().await.unwrap_err();
    assert!(report.dependencies["edu-tracker-service"].contains("does not answer"), "{report:?}");
}

#[tokio::test]
async fn a_token_is_needed_before_anything_else_is_looked_at() {
    let gateway = TestGateway::start(&[], &[]).await;
    for path in ["/v1/roadmaps", "/v1/ai/chat", "/v1/lms/courses", "/v1/billing/plans", "/v1/ai/flows/execute"] {
        let answer = gateway.service.post("", path, json!({"nonsense": true})).await.expect(401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn a_tenant_header_that_differs_from_the_token_is_403() {
    let ada = TestUser::student();
    let gateway = TestGateway::start(&[], &[&ada]).await;
    for (tenant, status) in
        [(ada.tenant_id.to_string(), 200), (testing::id().to_string(), 403), ("not-a-uuid".to_owned(), 400)]
    {
        let request = Request::get(format!("/v1/profiles/{}", ada.id))
            .header("authorization", format!("Bearer {}", ada.token))
            .header("x-tenant-id", tenant);
        gateway.service.send(request.body(Body::empty()).unwrap()).await.expect(status);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem() {
    let gateway = TestGateway::start(&[], &[]).await;
    for path in ["/", "/v1", "/v1/nowhere", "/profiles/1"] {
        let answer = gateway.service.get("", path).await.expect(404);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    gateway.service.delete("", "/v1/auth/login").await.expect(405);
}
