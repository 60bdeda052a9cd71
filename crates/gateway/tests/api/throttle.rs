use careeros_shared::testing::TestUser;
use chrono::TimeDelta;
use serde_json::json;

use crate::support::TestGateway;

#[tokio::test]
async fn the_request_after_the_last_allowed_one_is_429_until_the_window_ends() {
    let ada = TestUser::student();
    let gateway = TestGateway::start(&[("THROTTLE_LIMIT", "3"), ("THROTTLE_TTL", "60")], &[&ada]).await;
    let path = format!("/v1/profiles/{}", ada.id);
    for left in [2, 1, 0] {
        let answer = gateway.service.get(&ada.token, &path).await.expect(200);
        assert_eq!(answer.headers["ratelimit-policy"], "\"default\";q=3;w=60");
        assert_eq!(answer.headers["ratelimit"], format!("\"default\";r={left};t=60").as_str());
    }
    gateway.clock.advance(TimeDelta::seconds(20));
    let refused = gateway.service.get(&ada.token, &path).await.expect(429);
    assert_eq!(refused.headers["retry-after"], "40");
    assert_eq!(refused.json["code"], "too_many_requests");
    gateway.clock.advance(TimeDelta::seconds(40));
    gateway.service.get(&ada.token, &path).await.expect(200);
}

#[tokio::test]
async fn users_have_limits_of_their_own_and_strangers_share_their_address() {
    let (ada, bob) = (TestUser::student(), TestUser::student());
    let gateway = TestGateway::start(&[("THROTTLE_LIMIT", "1")], &[&ada, &bob]).await;
    let service = &gateway.service;
    for user in [&ada, &bob] {
        service.get(&user.token, &format!("/v1/profiles/{}", user.id)).await.expect(200);
        service.get(&user.token, &format!("/v1/profiles/{}", user.id)).await.expect(429);
    }
    // A token that is not valid buys nothing.
    service.get("forged", "/v1/auth/me").await.expect(401);
    service.post("", "/v1/auth/login", json!({"email": "a@b.example", "password": "12345678"})).await.expect(429);
}

#[tokio::test]
async fn health_is_not_limited() {
    let gateway = TestGateway::start(&[("THROTTLE_LIMIT", "1")], &[]).await;
    for _ in 0..5 {
        gateway.service.get("", "/health").await.expect(200);
        gateway.service.get("", "/v1/health").await.expect(200);
    }
}
