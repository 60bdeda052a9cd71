use std::sync::Arc;

use careeros_profile::profiles;
use careeros_shared::{
    directory::Subject,
    identity::Role,
    testing::{self, TestUser},
};
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

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
async fn profiles_that_are_read_together_stay_within_their_tenants() {
    let users: Vec<_> = std::iter::repeat_with(TestUser::student).take(20).collect();
    let (service, db) = start(&users.iter().collect::<Vec<_>>()).await;
    let path = |user: &TestUser| format!("/profiles/{}", user.id);
    // The last one stores nothing.
    for user in &users[..19] {
        service.put(&user.token, &path(user), json!({"fullName": user.id})).await.expect(200);
    }
    let read = join_all(users.iter().map(async |user| service.get(&user.token, &path(user)).await)).await;
    for (number, (user, profile)) in users.iter().zip(read).enumerate() {
        let name = if number < 19 { user.id.to_string() } else { String::new() };
        let profile = profile.expect(200).json;
        assert_eq!((&profile["user_id"], &profile["full_name"]), (&json!(user.id), &json!(name)));
    }

    // Whoever asks with a tenant that is not the user's gets what has stored nothing, whoever else is read by the same statement.
    let own = |user: &TestUser| Subject { user_id: user.id, tenant_id: user.tenant_id };
    let foreign = |user: &TestUser| Subject { tenant_id: users[0].tenant_id, ..own(user) };
    let asked = vec![own(&users[0]), foreign(&users[1]), own(&users[2]), foreign(&users[3])];
    let found = profiles::find(db.clone(), Arc::from(asked.clone())).await.unwrap();
    let names: Vec<_> = found.iter().map(|profile| profile.full_name.as_str()).collect();
    assert_eq!(names, [&users[0].id.to_string(), "", &users[2].id.to_string(), ""]);

    // Row-level security says the same where a query forgets to.
    let (tenants, ids): (Vec<_>, Vec<_>) = asked.iter().map(|asked| (asked.tenant_id, asked.user_id)).unzip();
    let seen: Vec<Uuid> = sqlx::query_scalar(
        "select p.user_id from unnest($1::uuid[], $2::uuid[]) as asked(tenant_id, user_id)
         cross join lateral app_scope(asked.tenant_id) scope(tenant_id)
         cross join lateral (
             select user_id from profiles where user_id = asked.user_id and scope.tenant_id is not null offset 0
         ) p",
    )
    .bind(tenants)
    .bind(ids)
    .fetch_all(&*db)
    .await
    .unwrap();
    assert_eq!(seen, [users[0].id, users[2].id]);
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
