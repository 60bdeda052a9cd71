use careeros_shared::{identity::Role, testing::TestUser};
use serde_json::json;
use uuid::Uuid;

use crate::start;

#[tokio::test]
async fn the_token_decides_for_whom_a_flow_runs() {
    let tenant = Uuid::now_v7();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let stranger = TestUser::new(Uuid::now_v7(), &[Role::Admin]);
    let harness = start(&[&ada, &admin, &stranger]).await;
    let post = async |token: &str, user: Uuid, tenant: Uuid| {
        let body = json!({"userId": user, "tenantId": tenant, "flowName": "productivity_advisor", "input": {}});
        harness.service.post(token, "/ai/flows/execute", body).await
    };
    post("", ada.id, tenant).await.expect(401);
    post("not-a-token", ada.id, tenant).await.expect(401);
    post(&ada.token, admin.id, tenant).await.expect(403);
    post(&ada.token, ada.id, stranger.tenant_id).await.expect(403);
    post(&stranger.token, ada.id, tenant).await.expect(403);
    post(&stranger.token, ada.id, stranger.tenant_id).await.expect(403);
    assert_eq!(harness.count("ai_outputs").await, 0);

    post(&admin.token, ada.id, tenant).await.expect(200);
    let body = json!({"flowName": "productivity_advisor", "input": {}});
    harness.service.post(&ada.token, "/ai/flows/execute", body).await.expect(200);
    let owners: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select user_id, tenant_id from ai_outputs").fetch_all(&harness.db.admin).await.unwrap();
    assert_eq!(owners, [(ada.id, tenant), (ada.id, tenant)]);
}

#[tokio::test]
async fn chat_and_usage_obey_the_same_rules() {
    let tenant = Uuid::now_v7();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let bob = TestUser::new(tenant, &[Role::Student]);
    let stranger = TestUser::new(Uuid::now_v7(), &[Role::Admin]);
    let harness = start(&[&ada, &bob, &stranger]).await;
    let body = json!({"userId": ada.id, "tenantId": tenant, "mode": "career", "messages": [{"role": "user", "content": "Hi"}]});
    for path in ["/ai/chat", "/ai/chat/stream"] {
        harness.service.post("", path, body.clone()).await.expect(401);
        harness.service.post(&bob.token, path, body.clone()).await.expect(403);
        harness.service.post(&stranger.token, path, body.clone()).await.expect(403);
    }
    let usage = format!("/ai/usage/{}", ada.id);
    harness.service.get("", &usage).await.expect(401);
    harness.service.get(&bob.token, &usage).await.expect(403);
    harness.service.get(&stranger.token, &usage).await.expect(403);
    harness.service.get(&ada.token, "/ai/usage/42").await.expect(400);
    harness.service.get("", "/ai/flows").await.expect(401);
    assert_eq!(harness.count("ai_outputs").await, 0);
}

#[tokio::test]
async fn row_level_security_hides_what_a_query_forgets_to_filter() {
    let ada = TestUser::student();
    let harness = start(&[&ada]).await;
    harness.execute(&ada, "productivity_advisor", json!({})).await.expect(200);
    for table in ["ai_conversations", "ai_outputs", "token_usage"] {
        let count = || sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(format!("select count(*) from {table}")));
        let mut own = harness.db.begin(ada.tenant_id).await.unwrap();
        assert_eq!(count().fetch_one(&mut *own).await.unwrap(), 1, "{table}");
        let mut other = harness.db.begin(Uuid::now_v7()).await.unwrap();
        assert_eq!(count().fetch_one(&mut *other).await.unwrap(), 0, "{table}");
        assert_eq!(count().fetch_one(&*harness.db).await.unwrap(), 0, "{table}");
    }
}
