use careeros_shared::{
    identity::Role,
    testing::{self, TestUser},
};
use serde_json::json;

use crate::{instant, start, story};

#[tokio::test]
async fn whoever_has_not_begun_reads_zeros() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let zeros = json!({
        "mastery_score": 0.0, "streak_days": 0, "minutes_this_week": 0, "productivity_score": 0.0, "skills": []
    });
    assert_eq!(edu.progress(&ada).await, zeros);
}

#[tokio::test]
async fn the_token_decides_whose_progress_it_is() {
    let tenant = testing::id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let instructor = TestUser::new(tenant, &[Role::Instructor]);
    let stranger = TestUser::new(testing::id(), &[Role::Admin]);
    let edu = start(&[&ada, &admin, &instructor, &stranger]).await;
    edu.deliver(&[story::lesson(&ada, edu.clock.now(), 1, 1, 30)]).await.unwrap();
    let path = format!("/edu-tracker/progress/{}", ada.id);

    edu.service.get("", &path).await.expect(401);
    edu.service.get("not-a-token", &path).await.expect(401);
    assert_eq!(edu.service.get(&ada.token, &path).await.expect(200).json["minutes_this_week"], 30);
    assert_eq!(edu.service.get(&admin.token, &path).await.expect(200).json["minutes_this_week"], 30);
    edu.service.get(&instructor.token, &path).await.expect(403);
    edu.service.get(&ada.token, &format!("/edu-tracker/progress/{}", admin.id)).await.expect(403);
    let theirs = edu.service.get(&stranger.token, &path).await.expect(403);
    let nobodys =
        edu.service.get(&stranger.token, &format!("/edu-tracker/progress/{}", testing::id())).await.expect(403);
    assert_eq!(theirs.json["detail"], nobodys.json["detail"]);
    assert_eq!(edu.service.get(&ada.token, "/edu-tracker/progress/42").await.expect(400).fields(), ["userId"]);
}

#[tokio::test]
async fn week_and_streak_roll_over_without_an_event() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    // Saturday to Monday; in Berlin the first is on Saturday, 00:30.
    for (index, at) in ["2026-01-02T23:30:00Z", "2026-01-04T09:00:00Z", "2026-01-05T09:00:00Z"].iter().enumerate() {
        edu.travel(at);
        let lesson = story::lesson(&ada, instant(at), 1, u8::try_from(index).unwrap(), 20);
        edu.deliver(&[lesson, story::zone(&ada, instant("2026-01-01T00:00:00Z"), "Europe/Berlin")]).await.unwrap();
    }
    for (now, streak, minutes) in [
        ("2026-01-04T22:59:59Z", 2, 40),
        ("2026-01-04T23:00:00Z", 3, 20),
        ("2026-01-05T22:59:59Z", 3, 20),
        ("2026-01-06T22:59:59Z", 3, 20),
        // Tuesday has passed without activity.
        ("2026-01-06T23:00:00Z", 0, 20),
        ("2026-01-11T22:59:59Z", 0, 20),
        ("2026-01-11T23:00:00Z", 0, 0),
    ] {
        edu.travel(now);
        let progress = edu.progress(&ada).await;
        assert_eq!(
            (&progress["streak_days"], &progress["minutes_this_week"]),
            (&json!(streak), &json!(minutes)),
            "{now}"
        );
    }
}

#[tokio::test]
async fn a_streak_is_days_in_a_row_and_not_active_days() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    // Every other day up to today, Tuesday 6 January: many active days, none of them before another.
    let days = ["2025-12-29", "2025-12-31", "2026-01-02", "2026-01-04", "2026-01-06"];
    for day in days {
        edu.deliver(&[story::quiz(&ada, instant(&format!("{day}T10:00:00Z")), &[])]).await.unwrap();
    }
    assert_eq!(edu.progress(&ada).await["streak_days"], 1);
    edu.deliver(&[story::milestone(&ada, instant("2026-01-05T10:00:00Z"))]).await.unwrap();
    assert_eq!(edu.progress(&ada).await["streak_days"], 3);
}

#[tokio::test]
async fn a_time_zone_set_later_moves_the_days_before() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    // In UTC Monday and Tuesday; in New York Sunday and Monday.
    edu.deliver(&[
        story::lesson(&ada, instant("2026-01-05T03:00:00Z"), 1, 1, 30),
        story::lesson(&ada, instant("2026-01-06T04:00:00Z"), 1, 2, 15),
    ])
    .await
    .unwrap();
    assert_eq!(edu.progress(&ada).await["minutes_this_week"], 45);
    edu.deliver(&[story::zone(&ada, instant("2026-01-06T05:00:00Z"), "America/New_York")]).await.unwrap();
    assert_eq!(edu.progress(&ada).await["minutes_this_week"], 15);
    assert_eq!(edu.progress(&ada).await["streak_days"], 2);
    // An older setting that arrives late changes nothing.
    edu.deliver(&[story::zone(&ada, instant("2026-01-01T00:00:00Z"), "Asia/Tokyo")]).await.unwrap();
    assert_eq!(edu.progress(&ada).await["minutes_this_week"], 15);
}

#[tokio::test]
async fn mastery_comes_from_evidence_and_not_from_minutes() {
    let (ada, bob) = (TestUser::student(), TestUser::student());
    let edu = start(&[&ada, &bob]).await;
    let now = edu.clock.now();
    edu.deliver(&[
        story::published(now, 1, 1, &[(1, &["rust"]), (2, &[])]),
        story::lesson(&ada, now, 1, 2, 10_000),
        story::lesson(&ada, now, 1, 1, 1),
        story::lesson(&bob, now, 1, 1, 10_000),
        story::quiz(&ada, now, &[("sql", true), ("sql", true), ("go", false), ("", true)]),
    ])
    .await
    .unwrap();
    let progress = edu.progress(&ada).await;
    let skills = json!([
        {"skill_key": "sql", "score": 77.5},
        {"skill_key": "rust", "score": 18.0},
        {"skill_key": "go", "score": 11.23}
    ]);
    assert_eq!(progress["skills"], skills);
    assert_eq!(progress["mastery_score"], 35.58);
    assert_eq!(edu.progress(&bob).await["skills"], json!([{"skill_key": "rust", "score": 18.0}]));
}

#[tokio::test]
async fn productivity_is_the_documented_sum() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let now = edu.clock.now();
    edu.deliver(&[
        story::lesson(&ada, now, 1, 1, 150),
        story::milestone(&ada, now),
        story::quiz(&ada, now, &[("rust", true)]),
    ])
    .await
    .unwrap();
    // 40 · 150/300 + 30 · 1/7 + 15 · 1/2 + 15 · 0.40
    assert_eq!(edu.progress(&ada).await["productivity_score"], 37.79);
    // Four ISO weeks later the milestone has gone too, and mastery alone stays.
    edu.travel("2026-02-03T00:00:00Z");
    assert_eq!(edu.progress(&ada).await["productivity_score"], 6.0);
}

#[tokio::test]
async fn row_level_security_hides_other_tenants_learners() {
    let ada = TestUser::student();
    let edu = start(&[&ada]).await;
    let now = edu.clock.now();
    edu.deliver(&[story::published(now, 1, 1, &[(1, &["rust"])]), story::lesson(&ada, now, 1, 1, 30)]).await.unwrap();
    for table in ["learners", "progress_logs", "activity_weeks", "skill_days", "mastery_scores", "productivity_metrics"]
    {
        let count = || sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let mut own = edu.db.begin(ada.tenant_id).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&mut *own).await.unwrap(), 1, "{table}");
        let mut other = edu.db.begin(testing::id()).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&mut *other).await.unwrap(), 0, "{table}");
        assert_eq!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&*edu.db).await.unwrap(), 0, "{table}");
    }
}
