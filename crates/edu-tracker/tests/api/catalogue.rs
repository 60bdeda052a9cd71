use careeros_shared::testing::TestUser;
use serde_json::json;

use crate::{start, story};

#[tokio::test]
async fn a_course_published_after_its_lessons_were_completed_counts_as_if_before() {
    let ada = TestUser::student();
    let now = careeros_shared::testing::start();
    let published = story::published(now, 1, 1, &[(1, &["rust"]), (2, &["rust", "sql"])]);
    let done = [story::lesson(&ada, now, 1, 1, 5), story::lesson(&ada, now, 1, 2, 5), story::course(&ada, now, 1)];
    let (before, after) = (start(&[&ada]).await, start(&[&ada]).await);
    before.deliver(std::slice::from_ref(&published)).await.unwrap();
    before.deliver(&done).await.unwrap();
    after.deliver(&done).await.unwrap();
    assert_eq!(after.progress(&ada).await["skills"], json!([]));
    after.deliver(std::slice::from_ref(&published)).await.unwrap();
    let progress = after.progress(&ada).await;
    assert_eq!(progress, before.progress(&ada).await);
    // Two lessons and the course; one lesson and the course.
    assert_eq!(progress["skills"], json!([{"skill_key": "rust", "score": 42.2}, {"skill_key": "sql", "score": 39.0}]));
}

#[tokio::test]
async fn a_higher_version_gives_and_takes_skills() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let now = edu.clock.now();
    edu.deliver(&[
        story::published(now, 1, 2, &[(1, &["rust"]), (2, &["sql"])]),
        story::lesson(&ada, now, 1, 1, 5),
        story::lesson(&ada, now, 1, 2, 5),
    ])
    .await
    .unwrap();
    edu.deliver(&[story::published(now, 1, 1, &[(1, &["cobol"])])]).await.unwrap();
    let skills = json!([{"skill_key": "rust", "score": 18.0}, {"skill_key": "sql", "score": 18.0}]);
    assert_eq!(edu.progress(&ada).await["skills"], skills, "a lower version that arrives late changes nothing");
    // Lesson 2 is dropped: what was learned in it stays.
    edu.deliver(&[story::published(now, 1, 3, &[(1, &["go"])])]).await.unwrap();
    let skills = json!([{"skill_key": "go", "score": 18.0}, {"skill_key": "sql", "score": 18.0}]);
    assert_eq!(edu.progress(&ada).await["skills"], skills);
    let told: Vec<_> =
        edu.db.outbox().await.into_iter().filter(|(.., event)| event.event_type == "MasteryScoreUpdated").collect();
    let told: Vec<_> = told.iter().map(|(.., event)| (&event.payload["skill_key"], &event.payload["score"])).collect();
    let expected =
        [("rust", 18.0), ("sql", 18.0), ("go", 18.0), ("rust", 0.0)].map(|(key, score)| (json!(key), json!(score)));
    assert_eq!(told, expected.iter().map(|(key, score)| (key, score)).collect::<Vec<_>>());
}

/// An index that row-level security keeps PostgreSQL from using looks right and is not: these are asked in the service's role.
#[tokio::test]
async fn who_has_completed_something_is_found_by_index() {
    let edu = start(&[]).await;
    let mut tx = edu.db.begin_system().await.unwrap();
    sqlx::query("set local enable_seqscan = off").execute(&mut *tx).await.unwrap();
    for (condition, index) in [
        ("metric_key = 'lesson_minutes' and lesson_id", "progress_logs_lesson_id_idx"),
        ("metric_key = 'course_completed' and course_id", "progress_logs_course_id_idx"),
    ] {
        let explain = format!("explain select user_id from progress_logs where {condition} = '{}'", uuid::Uuid::nil());
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *tx).await.unwrap();
        assert!(plan.join("\n").contains(index), "{plan:?}");
    }
}
