use careeros_shared::testing::TestUser;
use serde_json::json;

use crate::{
    model::{ModelServer, Reply},
    start_with,
};

#[tokio::test]
async fn usage_is_the_sum_over_a_users_own_executions() {
    let (ada, bob) = (TestUser::student(), TestUser::student());
    let advice = json!({"observations": [], "recommendations": ["Rest."], "next_week_plan": [{"day": "Monday", "task": "Rest"}]});
    let replies = [Reply::json(&advice), Reply::json(&advice), Reply::Text("Hello!".to_owned())];
    let model = ModelServer::start("gpt-4o-mini", replies).await;
    let harness = start_with(&[&ada, &bob], &[&model]).await;
    let path = format!("/ai/usage/{}", ada.id);
    let none = json!({"requests_count": 0, "prompt_tokens": 0, "completion_tokens": 0, "total_cost_usd": 0.0});
    assert_eq!(harness.service.get(&ada.token, &path).await.expect(200).json, none);
    harness.execute(&ada, "productivity_advisor", json!({})).await.expect(200);
    harness.execute(&bob, "productivity_advisor", json!({})).await.expect(200);
    let chat = json!({"mode": "career", "messages": [{"role": "user", "content": "Hi"}]});
    harness.service.post(&ada.token, "/ai/chat", chat).await.expect(200);
    assert_eq!(
        harness.service.get(&ada.token, &path).await.expect(200).json,
        json!({"requests_count": 2, "prompt_tokens": 200, "completion_tokens": 100, "total_cost_usd": 0.000_09})
    );
}
