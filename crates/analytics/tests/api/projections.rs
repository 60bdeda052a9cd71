//! What events leave in the tables that reports read.

use careeros_analytics::events::{GROUP, Projections};
use careeros_shared::{
    events::{
        AiFlowExecuted, Envelope, LessonCompleted, PlanChanged, RoadmapCreated, StreakUpdated, SubscriptionActivated,
        UserRegistered,
    },
    testing,
};
use chrono::{DateTime, Utc};
use rust_decimal::{Decimal, dec};
use serde_json::json;
use uuid::Uuid;

use crate::{Fixture, rows};

/// An AI flow that cost `cost`.
pub(crate) fn flow(name: &str, status: &str, cost: Decimal) -> AiFlowExecuted {
    AiFlowExecuted {
        execution_id: testing::id(),
        flow_name: name.into(),
        flow_version: "v1".into(),
        status: status.into(),
        latency_ms: 10,
        prompt_tokens: Some(100),
        completion_tokens: None,
        total_cost_usd: cost,
    }
}

/// The five events of the funnel, in its order, and the price of the plan that they are about.
pub(crate) fn one_of_each(tenant: Uuid, user_id: Uuid, at: DateTime<Utc>) -> Vec<Envelope> {
    let id = testing::id();
    let registered = UserRegistered { user_id, email: "ada@example.com".into(), registered_at: at, default_role: None };
    let roadmap = RoadmapCreated { roadmap_id: id, user_id, goal_key: "backend".into(), version: 1 };
    let lesson = LessonCompleted { lesson_id: id, course_id: id, user_id, completed_at: at, time_spent_minutes: 5 };
    let subscription = SubscriptionActivated {
        subscription_id: id,
        user_id: Some(user_id),
        organization_id: None,
        plan_code: "PREMIUM".into(),
        activated_at: at,
        status: "ACTIVE".into(),
    };
    let price = PlanChanged {
        plan_code: "PREMIUM".into(),
        price_usd: dec!(29),
        billing_interval: "MONTH".into(),
        effective_at: DateTime::UNIX_EPOCH,
    };
    let user = Some(user_id);
    vec![
        testing::envelope(tenant, user, at, &registered),
        testing::envelope(tenant, user, at, &roadmap),
        testing::envelope(tenant, user, at, &lesson),
        testing::envelope(tenant, user, at, &subscription),
        testing::envelope(tenant, user, at, &flow("resume_analysis", "SUCCESS", dec!(0.02))),
        testing::envelope(Uuid::nil(), None, at, &price),
    ]
}

#[tokio::test]
async fn each_step_of_the_funnel_is_a_row_with_the_events_id() {
    let fixture = Fixture::start().await;
    let user = testing::id();
    let mut events = one_of_each(fixture.tenant, user, testing::start());
    // An organisation has no user.
    let mut organization = events[3].clone();
    organization.event_id = testing::id();
    organization.user_id = None;
    organization.payload["user_id"] = json!(null);
    organization.payload["organization_id"] = json!(testing::id());
    events.push(organization);
    fixture.deliver(&events).await;
    let steps = [
        (0, "activation.signup"),
        (1, "activation.roadmap_created"),
        (2, "activation.lesson_completed"),
        (3, "conversion.subscription_activated"),
        (4, "engagement.ai_flow"),
        (6, "conversion.subscription_activated"),
    ];
    for (index, step) in steps {
        let found: (Uuid, Option<Uuid>, String, DateTime<Utc>) =
            sqlx::query_as("select tenant_id, user_id, funnel_step, occurred_at from funnel_events where id = $1")
                .bind(events[index].event_id)
                .fetch_one(&fixture.db.admin)
                .await
                .unwrap();
        let user = (index != 6).then_some(user);
        assert_eq!(found, (fixture.tenant, user, step.to_owned(), testing::start()));
    }
    assert_eq!(rows(&fixture.db, "select to_jsonb(f) from funnel_events f").await.len(), steps.len());
}

#[tokio::test]
async fn ai_usage_is_added_up_by_user_and_flow() {
    let fixture = Fixture::start().await;
    let (ada, bob) = (testing::id(), testing::id());
    let run = |at: &str, user, name, status, cost| fixture.event(at, Some(user), &flow(name, status, cost));
    fixture
        .deliver(&[
            run("2026-01-06T10:00:00Z", ada, "resume_analysis", "SUCCESS", dec!(0.1)),
            run("2026-01-06T09:00:00Z", ada, "resume_analysis", "FAILED", dec!(0.2)),
        ])
        .await;
    fixture
        .deliver(&[
            run("2026-01-06T08:00:00Z", ada, "resume_analysis", "PARTIAL", dec!(0)),
            run("2026-01-06T11:00:00Z", ada, "skill_gap_analysis", "SUCCESS", dec!(1)),
            run("2026-01-06T11:00:00Z", bob, "resume_analysis", "SUCCESS", dec!(0.000001)),
        ])
        .await;
    let found: Vec<(Uuid, String, i64, Decimal, DateTime<Utc>)> = sqlx::query_as(
        "select user_id, flow_name, total_runs, total_cost_usd, snapshot_at from ai_usage_analytics
         order by user_id, flow_name",
    )
    .fetch_all(&fixture.db.admin)
    .await
    .unwrap();
    // 0.1 + 0.2 is 0.3, as it is with decimals.
    assert_eq!(
        found,
        [
            (ada, "resume_analysis".to_owned(), 3, dec!(0.3), crate::time("2026-01-06T10:00:00Z")),
            (ada, "skill_gap_analysis".to_owned(), 1, dec!(1), crate::time("2026-01-06T11:00:00Z")),
            (bob, "resume_analysis".to_owned(), 1, dec!(0.000001), crate::time("2026-01-06T11:00:00Z")),
        ]
    );
    let kpis = fixture.kpis("2026-01-06T12:00:00Z").await;
    assert_eq!((&kpis["ai_runs"], &kpis["ai_cost_usd"]), (&json!(5), &json!(1.300_001)));
}

#[tokio::test]
async fn a_redelivered_event_counts_once() {
    let fixture = Fixture::start().await;
    let events = one_of_each(fixture.tenant, testing::id(), testing::start());
    for _ in 0..3 {
        fixture.deliver(&[events.clone(), events.clone()].concat()).await;
    }
    let kpis = fixture.kpis("2026-01-06T12:00:00Z").await;
    assert_eq!((&kpis["dau"], &kpis["ai_runs"], &kpis["mrr_usd"]), (&json!(1), &json!(1), &json!(29.0)));
}

#[tokio::test]
async fn one_bad_event_fails_its_batch_whole_and_leaves_nothing() {
    let fixture = Fixture::start().await;
    let mut events = one_of_each(fixture.tenant, testing::id(), testing::start());
    events[5].payload["billing_interval"] = json!("FORTNIGHT");
    let error = testing::deliver(&fixture.db, GROUP, Projections, &events).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(error.fields()[0].field, "billing_interval");
    assert!(rows(&fixture.db, "select to_jsonb(f) from funnel_events f").await.is_empty());
    assert!(rows(&fixture.db, "select to_jsonb(i) from inbox i").await.is_empty());
    fixture.deliver(&events[..5]).await;
    assert_eq!(rows(&fixture.db, "select to_jsonb(f) from funnel_events f").await.len(), 5);
}

#[tokio::test]
async fn what_the_database_cannot_store_is_poison_and_not_an_outage() {
    let fixture = Fixture::start().await;
    let poison = fixture.event("2026-01-06T10:00:00Z", Some(testing::id()), &flow("a\0b", "SUCCESS", dec!(0)));
    let error = testing::deliver(&fixture.db, GROUP, Projections, &[poison]).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
}

#[tokio::test]
async fn what_the_platform_computes_is_not_activity() {
    let fixture = Fixture::start().await;
    let user_id = testing::id();
    let streak = StreakUpdated { user_id, streak_days: 3 };
    fixture.deliver(&[fixture.event("2026-01-06T10:00:00Z", Some(user_id), &streak)]).await;
    assert_eq!(fixture.kpis("2026-01-06T12:00:00Z").await["dau"], 0);
}
