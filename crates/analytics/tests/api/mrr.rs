//! MRR: what subscriptions bring a month, whatever order their events came in.

use careeros_shared::{
    events::{Envelope, PlanChanged, SubscriptionActivated, SubscriptionCanceled, SubscriptionRenewed},
    testing,
};
use rust_decimal::{Decimal, dec};
use serde_json::json;
use uuid::Uuid;

use crate::{Fixture, count_days, rows, time};

fn price(at: &str, plan: &str, interval: &str, price_usd: Decimal) -> Envelope {
    let event =
        PlanChanged { plan_code: plan.into(), price_usd, billing_interval: interval.into(), effective_at: time(at) };
    testing::envelope(Uuid::nil(), None, time(at), &event)
}

impl Fixture {
    fn activated(&self, at: &str, subscription_id: Uuid, plan: &str, status: &str) -> Envelope {
        let event = SubscriptionActivated {
            subscription_id,
            user_id: Some(testing::id()),
            organization_id: None,
            plan_code: plan.into(),
            activated_at: time(at),
            status: status.into(),
        };
        self.event(at, event.user_id, &event)
    }

    fn renewed(&self, at: &str, subscription_id: Uuid, mrr_usd: Decimal) -> Envelope {
        let current_period_end = time(at) + chrono::TimeDelta::days(30);
        let event =
            SubscriptionRenewed { subscription_id, user_id: None, plan_code: "P".into(), current_period_end, mrr_usd };
        self.event(at, None, &event)
    }

    fn canceled(&self, at: &str, subscription_id: Uuid) -> Envelope {
        let event = SubscriptionCanceled {
            subscription_id,
            user_id: None,
            plan_code: "P".into(),
            canceled_at: time(at),
            mrr_usd: dec!(30),
        };
        self.event(at, None, &event)
    }

    async fn mrr(&self, at: &str) -> f64 {
        self.kpis(at).await["mrr_usd"].as_f64().unwrap()
    }
}

const NOON: &str = "2026-06-30T12:00:00Z";

#[tokio::test]
async fn a_subscription_brings_its_price_until_a_renewal_brings_another_and_a_cancellation_ends_it() {
    let fixture = Fixture::start().await;
    let subscription = testing::id();
    fixture.deliver(&[price("2026-01-01T00:00:00Z", "P", "MONTH", dec!(20))]).await;
    fixture.deliver(&[fixture.activated("2026-02-01T00:00:00Z", subscription, "P", "ACTIVE")]).await;
    assert!((fixture.mrr(NOON).await - 20.0).abs() < f64::EPSILON);
    fixture.deliver(&[price("2026-02-10T00:00:00Z", "P", "MONTH", dec!(30))]).await;
    assert!((fixture.mrr(NOON).await - 20.0).abs() < f64::EPSILON);
    fixture.deliver(&[fixture.renewed("2026-03-01T00:00:00Z", subscription, dec!(30))]).await;
    assert!((fixture.mrr(NOON).await - 30.0).abs() < f64::EPSILON);
    fixture.deliver(&[fixture.canceled("2026-04-01T00:00:00Z", subscription)]).await;
    assert!(fixture.mrr(NOON).await.abs() < f64::EPSILON);
    // Back again, at the price of the day.
    fixture.deliver(&[fixture.activated("2026-05-01T00:00:00Z", subscription, "P", "ACTIVE")]).await;
    assert!((fixture.mrr(NOON).await - 30.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_new_price_has_nobody_counted_again_who_subscribed_at_an_earlier_one() {
    let fixture = Fixture::start().await;
    let days = async || {
        count_days(&fixture.db, time("2026-02-03T12:00:00Z")).await;
        rows(&fixture.db, "select to_jsonb(mrr_usd) from kpi_daily order by day").await
    };
    // The price of the first plan comes late, that of the second is the first one that is known of it.
    fixture.deliver(&[fixture.activated("2026-02-01T00:00:00Z", testing::id(), "P", "ACTIVE")]).await;
    fixture.deliver(&[fixture.activated("2026-02-02T00:00:00Z", testing::id(), "Q", "ACTIVE")]).await;
    assert_eq!(days().await, Vec::<serde_json::Value>::new(), "nothing counts");
    fixture.deliver(&[price("2026-01-01T00:00:00Z", "P", "MONTH", dec!(20))]).await;
    assert_eq!(days().await, [json!(20.00), json!(20.00), json!(20.00)]);
    fixture.deliver(&[price("2026-02-03T00:00:00Z", "Q", "MONTH", dec!(5))]).await;
    assert_eq!(days().await, [json!(20.00), json!(25.00), json!(25.00)]);

    sqlx::query("update kpi_daily set mrr_usd = 7").execute(&fixture.db.admin).await.unwrap();
    fixture.deliver(&[price("2026-02-03T00:00:00Z", "P", "MONTH", dec!(30))]).await;
    assert_eq!(days().await, [json!(7), json!(7), json!(7)], "the days were counted again");
    // A price of before it is another matter.
    fixture.deliver(&[price("2026-01-15T00:00:00Z", "P", "MONTH", dec!(25))]).await;
    assert_eq!(days().await, [json!(25.00), json!(30.00), json!(30.00)]);

    // One that was over when the first of them subscribed is not.
    sqlx::query("update kpi_daily set mrr_usd = 7").execute(&fixture.db.admin).await.unwrap();
    fixture.deliver(&[price("2026-01-10T00:00:00Z", "P", "MONTH", dec!(22))]).await;
    assert_eq!(days().await, [json!(7), json!(7), json!(7)], "the days were counted again");
}

#[tokio::test]
async fn a_year_is_twelve_months_and_cents_add_up() {
    let fixture = Fixture::start().await;
    fixture.deliver(&[price("2026-01-01T00:00:00Z", "Y", "YEAR", dec!(100))]).await;
    for _ in 0..3 {
        fixture.deliver(&[fixture.activated("2026-02-01T00:00:00Z", testing::id(), "Y", "ACTIVE")]).await;
    }
    assert!((fixture.mrr(NOON).await - 24.99).abs() < f64::EPSILON, "three times 8.33");
}

#[tokio::test]
async fn a_trial_brings_nothing_and_past_due_still_counts() {
    let fixture = Fixture::start().await;
    fixture
        .deliver(&[
            price("2026-01-01T00:00:00Z", "P", "MONTH", dec!(20)),
            fixture.activated("2026-02-01T00:00:00Z", testing::id(), "P", "TRIAL"),
            fixture.activated("2026-02-01T00:00:00Z", testing::id(), "P", "PAST_DUE"),
        ])
        .await;
    assert!((fixture.mrr(NOON).await - 20.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn it_stays_over_days_and_does_not_grow_with_each_activation() {
    let fixture = Fixture::start().await;
    let subscription = testing::id();
    fixture
        .deliver(&[
            price("2026-01-01T00:00:00Z", "P", "MONTH", dec!(29)),
            fixture.activated("2026-02-01T00:00:00Z", subscription, "P", "ACTIVE"),
            fixture.activated("2026-02-01T00:00:01Z", subscription, "P", "ACTIVE"),
        ])
        .await;
    for day in ["2026-02-01T12:00:00Z", "2026-02-02T12:00:00Z", NOON] {
        assert!((fixture.mrr(day).await - 29.0).abs() < f64::EPSILON, "{day}");
    }
}

#[tokio::test]
async fn the_newest_event_decides_and_not_the_last_to_arrive() {
    let fixture = Fixture::start().await;
    let (gone, stays) = (testing::id(), testing::id());
    fixture.deliver(&[fixture.canceled("2026-04-01T00:00:00Z", gone)]).await;
    fixture.deliver(&[fixture.renewed("2026-03-01T00:00:00Z", gone, dec!(30))]).await;
    fixture.deliver(&[fixture.renewed("2026-03-01T00:00:00Z", stays, dec!(30))]).await;
    fixture.deliver(&[fixture.activated("2026-02-01T00:00:00Z", gone, "P", "ACTIVE")]).await;
    fixture.deliver(&[fixture.activated("2026-02-01T00:00:00Z", stays, "P", "ACTIVE")]).await;
    fixture.deliver(&[price("2026-01-01T00:00:00Z", "P", "MONTH", dec!(20))]).await;
    assert!((fixture.mrr(NOON).await - 30.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_price_that_becomes_known_late_counts_from_the_activation() {
    let fixture = Fixture::start().await;
    fixture.deliver(&[fixture.activated("2026-06-29T00:00:00Z", testing::id(), "P", "ACTIVE")]).await;
    assert!(fixture.mrr(NOON).await.abs() < f64::EPSILON);
    count_days(&fixture.db, time(NOON)).await;
    fixture
        .deliver(&[
            price("2026-06-30T00:00:00Z", "P", "MONTH", dec!(40)),
            price("2026-06-29T12:00:00Z", "P", "MONTH", dec!(25)),
        ])
        .await;
    assert!((fixture.mrr(NOON).await - 25.0).abs() < f64::EPSILON);
    count_days(&fixture.db, time(NOON)).await;
    let kept = "select to_jsonb(k.mrr_usd) from kpi_daily k order by day";
    assert_eq!(rows(&fixture.db, kept).await, [serde_json::json!(25.0), serde_json::json!(25.0)]);
}

#[tokio::test]
async fn cancellations_raise_the_churn_risk_for_thirty_days() {
    let fixture = Fixture::start().await;
    let subscriptions: Vec<_> = (0..4).map(|_| testing::id()).collect();
    for subscription in &subscriptions {
        fixture.deliver(&[fixture.activated("2026-02-01T00:00:00Z", *subscription, "P", "ACTIVE")]).await;
    }
    fixture.deliver(&[fixture.canceled("2026-06-01T00:00:00Z", subscriptions[0])]).await;
    let risk = async |at: &str| fixture.kpis(at).await["churn_risk_score"].as_f64().unwrap();
    assert!((risk("2026-06-30T12:00:00Z").await - 0.25).abs() < f64::EPSILON);
    assert!(risk("2026-07-01T12:00:00Z").await.abs() < f64::EPSILON);
    // The mean of a quarter of the subscriptions and all of the users.
    fixture.deliver(&[fixture.seen("2026-06-20T00:00:00Z", testing::id())]).await;
    assert!((risk("2026-06-30T12:00:00Z").await - 0.625).abs() < f64::EPSILON);
}
