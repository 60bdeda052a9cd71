use careeros_shared::testing::TestUser;
use serde_json::{Value, json};

use crate::{Fixture, instant, start, story};

/// Topic, key and payload of what has been published since `seen` events.
async fn since(edu: &Fixture, seen: &mut usize) -> Vec<(String, String, Value)> {
    let outbox = edu.db.outbox().await;
    let new = outbox.into_iter().skip(*seen).map(|(topic, key, event)| (topic, key, event.payload)).collect::<Vec<_>>();
    *seen += new.len();
    new
}

#[tokio::test]
async fn what_changes_is_published_once_a_batch() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let (now, id, key, mut seen) = (edu.clock.now(), ada.id, ada.id.to_string(), 0);
    let topic = |name: &str| format!("careeros.edutracker.{name}.v1");
    edu.deliver(&[
        story::lesson(&ada, now, 1, 1, 20),
        story::lesson(&ada, now, 1, 2, 10),
        story::quiz(&ada, now, &[("rust", true)]),
    ])
    .await
    .unwrap();
    let expected = [
        (topic("mastery-score-updated"), key.clone(), json!({"user_id": id, "skill_key": "rust", "score": 40.0})),
        (topic("streak-updated"), key.clone(), json!({"user_id": id, "streak_days": 1})),
        (
            topic("productivity-score-computed"),
            key.clone(),
            json!({"user_id": id, "productivity_score": 14.29, "weekly_minutes": 30}),
        ),
    ];
    assert_eq!(since(&edu, &mut seen).await, expected);

    // Activity on a day long gone changes neither streak nor week nor score.
    edu.deliver(&[story::quiz(&ada, instant("2025-06-01T10:00:00Z"), &[])]).await.unwrap();
    assert_eq!(since(&edu, &mut seen).await, []);

    edu.deliver(&[story::quiz(&ada, instant("2026-01-05T10:00:00Z"), &[])]).await.unwrap();
    let topics: Vec<_> = since(&edu, &mut seen).await.into_iter().map(|(topic, ..)| topic).collect();
    assert_eq!(topics, [topic("streak-updated"), topic("productivity-score-computed")]);
    let event = edu.db.outbox().await.pop().unwrap().2;
    assert_eq!((event.tenant_id, event.user_id), (ada.tenant_id.to_string(), Some(key)));
    assert_eq!(event.source, "edu-tracker-service");
}

#[tokio::test]
async fn the_reporting_tables_hold_what_the_last_event_made_of_them() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let now = edu.clock.now();
    edu.deliver(&[story::quiz(&ada, now, &[("rust", true)]), story::lesson(&ada, now, 1, 1, 28)]).await.unwrap();
    let row: Value = sqlx::query_scalar("select to_jsonb(m) - 'id' from productivity_metrics m")
        .fetch_one(&edu.db.admin)
        .await
        .unwrap();
    assert_eq!((&row["user_id"], &row["tenant_id"]), (&json!(ada.id), &json!(ada.tenant_id)));
    assert_eq!((&row["streak_days"], &row["weekly_minutes"]), (&json!(1), &json!(28)));
    assert_eq!(row["productivity_score"], 14.02);
    assert_eq!(row["prediction_json"], json!({"next_week_minutes": 7}));
    let logged: Vec<(String, String, f64)> =
        sqlx::query_as("select source_event_type, metric_key, metric_value::float8 from progress_logs order by 1")
            .fetch_all(&edu.db.admin)
            .await
            .unwrap();
    let expected = [("LessonCompleted", "lesson_minutes", 28.0), ("QuizSubmitted", "quiz_score", 50.0)];
    assert_eq!(logged, expected.map(|(event, metric, value)| (event.to_owned(), metric.to_owned(), value)));
}

#[tokio::test]
async fn an_invalid_event_is_refused_and_leaves_nothing_of_its_batch() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let now = edu.clock.now();
    let good = story::lesson(&ada, now, 1, 1, 20);
    let mut bad = story::lesson(&ada, now, 1, 2, 20);
    bad.payload["time_spent_minutes"] = json!(-1);
    let mut extra = story::lesson(&ada, now, 1, 2, 20);
    extra.payload["skill_key"] = json!("rust");
    let mut foreign = story::lesson(&ada, now, 1, 2, 20);
    foreign.tenant_id = TestUser::student().tenant_id.to_string();
    edu.deliver(std::slice::from_ref(&good)).await.unwrap();
    // Alone, and before and after one that is as it should be.
    let other = story::lesson(&ada, now, 1, 3, 20);
    for event in [bad, extra, foreign] {
        for batch in [vec![event.clone()], vec![event.clone(), other.clone()], vec![other.clone(), event]] {
            let error = edu.deliver(&batch).await.unwrap_err();
            assert!(!error.is_transient(), "{error}");
        }
    }
    assert_eq!(edu.progress(&ada).await["minutes_this_week"], 20);
}
