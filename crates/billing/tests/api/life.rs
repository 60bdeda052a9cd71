use careeros_billing::subscriptions;
use careeros_shared::testing::TestUser;
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Billing, id,
    webhooks::{activated, canceled, hook, hook_at, renewed},
};

#[tokio::test]
async fn a_cancellation_entitles_until_the_period_ends() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    billing.webhook(&canceled(&id)).await.expect(200);
    let answer = billing.service.get(&ada.token, &format!("/billing/subscription/{}", ada.id)).await.expect(200);
    let expected =
        json!({"plan_code": "PREMIUM", "status": "ACTIVE", "renew_at": "", "ends_at": "2026-02-06T12:00:00Z"});
    assert_eq!(answer.json, expected);
    billing.advance_days(30);
    subscriptions::end_due(&billing.db, billing.now()).await.unwrap();
    assert_eq!(billing.entitled(&ada, "roadmap.regenerate").await, Ok(()));
    assert_eq!(billing.published("SubscriptionCanceled").await, Vec::<Value>::new());

    billing.advance_days(1);
    let reason = billing.entitled(&ada, "roadmap.regenerate").await.unwrap_err();
    assert!(reason.starts_with("the subscription to PREMIUM ended on 2026-02-06"), "{reason}");
    subscriptions::end_due(&billing.db, billing.now()).await.unwrap();
    let ended = billing.published("SubscriptionCanceled").await;
    assert_eq!((&ended[0]["canceled_at"], &ended[0]["mrr_usd"]), (&json!("2026-02-06T12:00:00Z"), &json!("29.00")));
    let status: String =
        sqlx::query_scalar("select status from subscriptions").fetch_one(&billing.db.admin).await.unwrap();
    assert_eq!(status, "CANCELED");
}

#[tokio::test]
async fn a_cancellation_may_be_at_once() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    let mut at_once = canceled(&id);
    at_once["payload"]["at_period_end"] = json!(false);
    billing.webhook(&at_once).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("FREE".into(), "INACTIVE".into()));
    assert_eq!(billing.published("SubscriptionCanceled").await.len(), 1);
}

#[tokio::test]
async fn a_renewal_extends_bills_and_withdraws_a_cancellation() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    billing.webhook(&canceled(&id)).await.expect(200);
    billing.webhook(&renewed(&id, "2026-03-06T12:00:00Z")).await.expect(200);
    let event = json!({"subscription_id": id, "user_id": ada.id, "plan_code": "PREMIUM",
        "current_period_end": "2026-03-06T12:00:00Z", "mrr_usd": "29.00"});
    assert_eq!(billing.published("SubscriptionRenewed").await, [event]);
    assert_eq!(billing.invoices().await.len(), 2);
    billing.advance_days(58);
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()));
    billing.advance_days(1);
    assert_eq!(billing.subscription(&ada).await, ("FREE".into(), "INACTIVE".into()));
    // Word of the next renewal comes late and brings it back.
    billing.webhook(&renewed(&id, "2026-04-06T12:00:00Z")).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()));
}

#[tokio::test]
async fn a_renewal_does_not_bring_one_back_beside_another() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let first = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    let mut at_once = canceled(&first);
    at_once["payload"]["at_period_end"] = json!(false);
    billing.webhook(&at_once).await.expect(200);
    billing.activate(&ada, "ENTERPRISE", "ACTIVE").await;
    let renewal = renewed(&first, "2026-04-06T12:00:00Z");
    assert_eq!(billing.webhook(&renewal).await.expect(409).json["code"], "already_active");
    assert_eq!(billing.subscription(&ada).await.0, "ENTERPRISE");
}

#[tokio::test]
async fn an_old_activation_does_not_revive_what_was_canceled_since() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let payload = json!({"user_id": ada.id, "tenant_id": ada.tenant_id, "plan_code": "PREMIUM"});
    let minutes = |n: i64| billing.now() - TimeDelta::minutes(n);
    billing.webhook(&hook_at("subscription.activated", minutes(30), &payload)).await.expect(200);
    let id: Uuid = sqlx::query_scalar("select id from subscriptions").fetch_one(&billing.db.admin).await.unwrap();
    let at_once = json!({"subscription_id": id, "at_period_end": false});
    billing.webhook(&hook_at("subscription.canceled", minutes(10), &at_once)).await.expect(200);
    billing.webhook(&hook_at("subscription.activated", minutes(20), &payload)).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("FREE".into(), "INACTIVE".into()));
    billing.webhook(&hook_at("subscription.activated", minutes(5), &payload)).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()));
}

#[tokio::test]
async fn an_activation_of_another_plan_switches() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.webhook(&activated(&ada, "PREMIUM")).await.expect(200);
    billing.webhook(&activated(&ada, "PREMIUM")).await.expect(200);
    assert_eq!(billing.db.event_types().await, ["SubscriptionActivated"], "the same plan again is no news");
    billing.advance_days(10);
    billing.webhook(&activated(&ada, "ENTERPRISE")).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("ENTERPRISE".into(), "ACTIVE".into()));
    let events = billing.published("SubscriptionActivated").await;
    assert_eq!(events[0]["subscription_id"], events[1]["subscription_id"]);
    assert_eq!(events[1]["plan_code"], "ENTERPRISE");
    let amounts: Vec<_> = billing.invoices().await.into_iter().map(|(_, amount)| amount).collect();
    assert_eq!(amounts, ["29.00", "299.00"]);
}

#[tokio::test]
async fn a_failed_payment_is_past_due_until_it_is_made_good() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    let reference: String =
        sqlx::query_scalar("select external_invoice_ref from invoices").fetch_one(&billing.db.admin).await.unwrap();
    let by_reference = json!({"invoice_ref": reference});
    billing.webhook(&hook("invoice.payment_failed", &by_reference)).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "PAST_DUE".into()));
    assert_eq!(billing.entitled(&ada, "roadmap.regenerate").await, Ok(()));
    billing.clock.advance(TimeDelta::hours(1));
    for _ in 0..2 {
        billing.webhook(&hook("invoice.paid", &by_reference)).await.expect(200);
    }
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()));
    assert_eq!(billing.invoices().await, [("PAID".to_owned(), "29.00".to_owned())]);
    let paid = billing.published("InvoicePaid").await;
    assert_eq!(paid.len(), 1);
    assert_eq!((&paid[0]["amount_usd"], &paid[0]["paid_at"]), (&json!("29.00"), &json!("2026-01-06T13:00:00Z")));
}

#[tokio::test]
async fn a_payment_without_a_reference_settles_what_is_open_or_makes_an_invoice() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "TRIAL").await;
    let payment = json!({"subscription_id": id, "amount_usd": 29});
    billing.webhook(&hook("invoice.paid", &payment)).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()), "a paid trial is none");
    billing.webhook(&renewed(&id, "2026-03-06T12:00:00Z")).await.expect(200);
    billing.webhook(&hook("invoice.paid", &payment)).await.expect(200);
    assert_eq!(billing.invoices().await, vec![("PAID".to_owned(), "29.00".to_owned()); 2]);
    let activations = billing.published("SubscriptionActivated").await;
    let statuses: Vec<_> = activations.iter().map(|event| event["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["TRIAL", "ACTIVE"]);
}

#[tokio::test]
async fn an_organization_is_activated_by_webhook() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let organization = id();
    let payload = json!({"organization_id": organization, "tenant_id": ada.tenant_id, "plan_code": "ENTERPRISE"});
    billing.webhook(&hook("subscription.activated", &payload)).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("ENTERPRISE".into(), "ACTIVE".into()));
    let elsewhere = json!({"organization_id": organization, "tenant_id": id(), "plan_code": "PREMIUM"});
    billing.webhook(&hook("subscription.activated", &elsewhere)).await.expect(404);
    assert_eq!(billing.subscription(&ada).await.0, "ENTERPRISE");
}

#[tokio::test]
async fn what_comes_back_after_its_end_was_reported_is_reported_too() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    billing.advance_days(32);
    subscriptions::end_due(&billing.db, billing.now()).await.unwrap();
    let payment = json!({"subscription_id": id, "amount_usd": "29.00"});
    billing.webhook(&hook("invoice.paid", &payment)).await.expect(200);
    // The payment bridges a week; then there must be word of the period that it was for.
    billing.advance_days(6);
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()));
    billing.advance_days(1);
    assert_eq!(billing.subscription(&ada).await, ("FREE".into(), "INACTIVE".into()));
    assert_eq!(
        billing.db.event_types().await,
        ["SubscriptionActivated", "SubscriptionCanceled", "InvoicePaid", "SubscriptionActivated"]
    );
}

#[tokio::test]
async fn an_old_activation_does_not_begin_anew_what_has_expired_since() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let payload = json!({"user_id": ada.id, "tenant_id": ada.tenant_id, "plan_code": "PREMIUM"});
    let start = billing.now();
    billing.webhook(&hook_at("subscription.activated", start, &payload)).await.expect(200);
    billing.advance_days(40);
    let earlier = start - TimeDelta::minutes(1);
    billing.webhook(&hook_at("subscription.activated", earlier, &payload)).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("FREE".into(), "INACTIVE".into()));
    billing.webhook(&hook_at("subscription.activated", billing.now(), &payload)).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()));
    assert_eq!(billing.count("subscriptions").await, 2);
}
