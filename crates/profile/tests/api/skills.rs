use careeros_shared::testing::TestUser;
use serde_json::json;

use crate::start;

#[tokio::test]
async fn skills_are_listed_best_first_and_updated_in_place() {
    let ada = TestUser::student();
    let (service, db) = start(&[&ada]).await;
    let path = format!("/profiles/{}/skills", ada.id);
    for (key, proficiency) in [("rust", 40.0), ("sql", 70.5), ("rust", 90.0)] {
        let body = json!({"skillKey": key, "skillName": key, "proficiency": proficiency});
        service.post(&ada.token, &path, body).await.expect(200);
    }
    let listed = service.get(&ada.token, &path).await.expect(200);
    assert_eq!(
        listed.json,
        json!({"skills": [{"skill_key": "rust", "score": 90.0}, {"skill_key": "sql", "score": 70.5}]})
    );
    assert_eq!(db.event_types().await, ["SkillsUpdated"; 3]);
}

#[tokio::test]
async fn a_retry_with_the_same_key_has_one_effect() {
    let ada = TestUser::student();
    let (service, db) = start(&[&ada]).await;
    let path = format!("/profiles/{}/skills", ada.id);
    let body = json!({"skillKey": "rust", "skillName": "Rust", "proficiency": 10});
    for _ in 0..3 {
        service.post_once(&ada.token, &path, "k-1", body.clone()).await.expect(200);
    }
    assert_eq!(db.event_types().await, ["SkillsUpdated"]);
    let other = json!({"skillKey": "sql", "skillName": "SQL", "proficiency": 10});
    service.post_once(&ada.token, &path, "k-1", other).await.expect(422);
}

#[tokio::test]
async fn a_failed_request_frees_its_key() {
    let ada = TestUser::student();
    let (service, db) = start(&[&ada]).await;
    let path = format!("/profiles/{}/skills", ada.id);
    let body = json!({"skillKey": "rust", "skillName": "Rust", "proficiency": 10});
    sqlx::query("alter table user_skills rename to away").execute(&db.admin).await.unwrap();
    service.post_once(&ada.token, &path, "k-1", body.clone()).await.expect(500);
    sqlx::query("alter table away rename to user_skills").execute(&db.admin).await.unwrap();
    service.post_once(&ada.token, &path, "k-1", body).await.expect(200);
}

#[tokio::test]
async fn bad_input_is_named() {
    let ada = TestUser::student();
    let (service, _db) = start(&[&ada]).await;
    let path = format!("/profiles/{}/skills", ada.id);
    for (body, field) in [
        (json!({"skillName": "Rust", "proficiency": 1}), "skillKey"),
        (json!({"skillKey": " ", "skillName": "Rust", "proficiency": 1}), "skillKey"),
        (json!({"skillKey": "rust", "skillName": "Rust", "proficiency": 101}), "proficiency"),
        (json!({"skillKey": "rust", "skillName": "Rust", "proficiency": -1}), "proficiency"),
        (json!({"skillKey": "rust", "skillName": "Rust", "proficiency": "high"}), "proficiency"),
    ] {
        assert_eq!(service.post(&ada.token, &path, body).await.expect(400).fields(), [field]);
    }
}
