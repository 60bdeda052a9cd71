use careeros_shared::{
    identity::Role,
    testing::{self, TestUser},
};
use serde_json::json;

use crate::start;

#[tokio::test]
async fn fields_not_sent_keep_their_values() {
    let ada = TestUser::student();
    let (service, db) = start(&[&ada]).await;
    let path = format!("/profiles/{}", ada.id);

    let empty = service.get(&ada.token, &path).await.expect(200);
    assert_eq!(
        empty.json,
        json!({"user_id": ada.id, "full_name": "", "title": "", "location": "", "bio": "", "timezone": "UTC"})
    );

    service.put(&ada.token, &path, json!({"fullName": "Ada", "title": "Analyst"})).await.expect(200);
    service.put(&ada.token, &path, json!({"title": "Engineer", "timezone": "Europe/London"})).await.expect(200);
    let stored = service.get(&ada.token, &path).await.expect(200);
    assert_eq!(stored.json["full_name"], "Ada");
    assert_eq!(stored.json["title"], "Engineer");

    let outbox = db.outbox().await;
    let (topic, key, last) = outbox.last().unwrap();
    assert_eq!((topic.as_str(), key), ("careeros.profile.profile-updated.v1", &ada.id.to_string()));
    assert_eq!(last.payload["updated_fields"], json!(["title", "timezone"]));
    assert_eq!(last.payload["timezone"], "Europe/London");
    assert_eq!(last.tenant_id, ada.tenant_id.to_string());
}

#[tokio::test]
async fn the_token_decides_whose_profile_it_is() {
    let tenant = testing::id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let stranger = TestUser::new(testing::id(), &[Role::Admin]);
    let (service, _db) = start(&[&ada, &admin, &stranger]).await;
    let path = format!("/profiles/{}", ada.id);

    service.get("", &path).await.expect(401);
    service.get("not-a-token", &path).await.expect(401);
    service.put(&admin.token, &path, json!({"title": "Lead"})).await.expect(200);
    assert_eq!(service.get(&ada.token, &path).await.expect(200).json["title"], "Lead");
    let theirs = service.get(&stranger.token, &path).await.expect(403);
    let nobodys = service.get(&stranger.token, &format!("/profiles/{}", testing::id())).await.expect(403);
    assert_eq!(theirs.json["detail"], nobodys.json["detail"]);
    service.get(&ada.token, &format!("/profiles/{}", admin.id)).await.expect(403);
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let ada = TestUser::student();
    let (service, db) = start(&[&ada]).await;
    let path = format!("/profiles/{}", ada.id);
    for (body, field) in [
        (json!({"fullName": "x".repeat(256)}), "fullName"),
        (json!({"location": "x".repeat(129)}), "location"),
        (json!({"timezone": "Mars/Olympus"}), "timezone"),
        (json!({"bio": "a\u{0}b"}), "bio"),
        (json!({"title": 7}), "title"),
        (json!({"isAdmin": true}), "isAdmin"),
    ] {
        let answer = service.put(&ada.token, &path, body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    assert_eq!(service.get(&ada.token, "/profiles/42").await.expect(400).fields(), ["userId"]);
    assert!(db.outbox().await.is_empty());
}

#[tokio::test]
async fn row_level_security_hides_what_a_query_forgets_to_filter() {
    let ada = TestUser::student();
    let (service, db) = start(&[&ada]).await;
    service.put(&ada.token, &format!("/profiles/{}", ada.id), json!({"title": "x"})).await.expect(200);
    let count = "select count(*) from profiles";
    let mut own = db.begin(ada.tenant_id).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *own).await.unwrap(), 1);
    let mut other = db.begin(testing::id()).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *other).await.unwrap(), 0);
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&*db).await.unwrap(), 0);
}
