use careeros_billing::{
    upkeep,
    usage::{GROUP, Usage},
};
use careeros_shared::testing::{self, TestUser};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Billing, SECRETS, id, sign, usage::execution};

pub(crate) fn hook(event_type: &str, payload: &Value) -> Value {
    json!({"eventType": event_type, "payload": payload, "eventId": id()})
}

/// As [`hook`], of something that happened at `at`.
pub(crate) fn hook_at(event_type: &str, at: DateTime<Utc>, payload: &Value) -> Value {
    let mut hook = hook(event_type, payload);
    hook["occurredAt"] = json!(at.to_rfc3339_opts(SecondsFormat::Millis, true));
    hook
}

pub(crate) fn activated(user: &TestUser, plan: &str) -> Value {
    hook("subscription.activated", &json!({"user_id": user.id, "tenant_id": user.tenant_id, "plan_code": plan}))
}

pub(crate) fn renewed(subscription_id: &str, until: &str) -> Value {
    hook("subscription.renewed", &json!({"subscription_id": subscription_id, "current_period_end": until}))
}

pub(crate) fn canceled(subscription_id: &str) -> Value {
    hook("subscription.canceled", &json!({"subscription_id": subscription_id}))
}

#[tokio::test]
async fn what_is_not_signed_has_no_effect() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    let body = canceled(&id).to_string();
    let now = billing.now().timestamp();
    let good = sign(SECRETS[0], now, &body);
    for (signature, why) in [
        (None, "none"),
        (Some(String::new()), "empty"),
        (Some("t=1".to_owned()), "malformed"),
        (Some(good.replace("v1=", "v0=")), "another scheme"),
        (Some(sign("guessed", now, &body)), "another secret"),
        (Some(sign(SECRETS[0], now, "{}")), "another body"),
        (Some(sign(SECRETS[0], now - 301, &body)), "old"),
        (Some(sign(SECRETS[0], now + 301, &body)), "from the future"),
        (Some(good.replace(&format!("t={now}"), &format!("t={}", now + 1))), "another time than the signed one"),
    ] {
        let answer = billing.send_webhook(&body, signature.as_deref()).await;
        assert_eq!(answer.status, 401, "{why}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    // The body is not even looked at.
    assert_eq!(billing.send_webhook("{", None).await.status, 401);
    // A token is no signature.
    billing.service.post(&billing.operator.token, "/billing/webhooks", canceled(&id)).await.expect(401);
    assert_eq!(billing.count("webhook_events").await, 0);
    billing.send_webhook(&body, Some(&good)).await.expect(200);
}

#[tokio::test]
async fn what_nobody_repeats_any_more_is_forgotten() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.webhook(&activated(&ada, "PREMIUM")).await.expect(200);
    let run = execution(&ada, billing.now(), "SUCCESS");
    testing::deliver(&billing.db, GROUP, Usage, &[run]).await.unwrap();
    billing.advance_days(60);
    upkeep(&billing.db, &billing.clock).await.unwrap();
    assert_eq!((billing.count("webhook_events").await, billing.count("metered_executions").await), (1, 1));
    billing.advance_days(90);
    upkeep(&billing.db, &billing.clock).await.unwrap();
    assert_eq!((billing.count("webhook_events").await, billing.count("metered_executions").await), (0, 0));
    assert_eq!(billing.count("ai_usage").await, 2, "the counters stay");
}

#[tokio::test]
async fn both_secrets_are_good_and_the_tolerance_is_five_minutes() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let body = activated(&ada, "PREMIUM").to_string();
    let now = billing.now().timestamp();
    for signature in [
        sign(SECRETS[1], now, &body),
        sign(SECRETS[0], now - 300, &body),
        sign(SECRETS[0], now + 300, &body),
        format!("{},v1={}", sign("retired", now, &body), sign(SECRETS[0], now, &body).split("v1=").last().unwrap()),
    ] {
        let answer = billing.send_webhook(&body, Some(&signature)).await.expect(200);
        assert_eq!(answer.json, json!({"ok": true}));
    }
    assert_eq!(billing.count("subscriptions").await, 1);
}

#[tokio::test]
async fn without_a_secret_all_webhooks_are_refused() {
    let ada = TestUser::student();
    let billing = Billing::start_with(&[&ada], &[]).await;
    let body = activated(&ada, "PREMIUM").to_string();
    let answer = billing.send_webhook(&body, Some(&sign("", billing.now().timestamp(), &body))).await.expect(401);
    assert!(answer.json["detail"].as_str().unwrap().contains("BILLING_WEBHOOK_SECRETS"), "{}", answer.text);
}

#[tokio::test]
async fn a_repetition_has_no_effect() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let activation = activated(&ada, "PREMIUM");
    for _ in 0..3 {
        billing.webhook(&activation).await.expect(200);
    }
    let mut events = vec!["SubscriptionActivated"];
    assert_eq!(billing.db.event_types().await, events);

    // The eventId decides, also where the provider words the body anew; without one the body does.
    let id: Uuid = sqlx::query_scalar("select id from subscriptions").fetch_one(&billing.db.admin).await.unwrap();
    let mut renewal = renewed(&id.to_string(), "2026-03-06T12:00:00Z");
    billing.webhook(&renewal).await.expect(200);
    renewal["payload"]["current_period_end"] = json!("2027-03-06T12:00:00Z");
    billing.webhook(&renewal).await.expect(200);
    events.push("SubscriptionRenewed");
    assert_eq!(billing.db.event_types().await, events);
    renewal.as_object_mut().unwrap().remove("eventId");
    billing.webhook(&renewal).await.expect(200);
    billing.webhook(&renewal).await.expect(200);
    events.push("SubscriptionRenewed");
    assert_eq!(billing.db.event_types().await, events);
}

#[tokio::test]
async fn the_same_webhook_twice_at_once_has_one_effect() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let payment = json!({"subscription_id": billing.activate(&ada, "PREMIUM", "ACTIVE").await, "amount_usd": 12.5});
    let payment = hook("invoice.paid", &payment);
    let (first, second) = tokio::join!(billing.webhook(&payment), billing.webhook(&payment));
    first.expect(200);
    second.expect(200);
    assert_eq!(billing.published("InvoicePaid").await.len(), 1);
}

#[tokio::test]
async fn a_webhook_that_failed_can_be_sent_again() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let activation = activated(&ada, "GOLD");
    assert_eq!(billing.webhook(&activation).await.expect(404).json["detail"], "plan not found");
    billing.plan("GOLD", "99.00", &["*"], 1).await;
    billing.webhook(&activation).await.expect(200);
    assert_eq!(billing.subscription(&ada).await, ("GOLD".into(), "ACTIVE".into()));
}

#[tokio::test]
async fn an_older_webhook_never_undoes_a_newer_one() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    let minutes = |n: i64| billing.now() - TimeDelta::minutes(n);
    let period = |until: &str| json!({"subscription_id": id, "current_period_end": until});
    let by_id = json!({"subscription_id": id});
    let payment = json!({"subscription_id": id, "amount_usd": "29.00"});
    for (event_type, at, payload) in [
        ("subscription.renewed", minutes(10), period("2026-04-01T00:00:00Z")),
        ("subscription.canceled", minutes(20), by_id),
        ("subscription.renewed", minutes(30), period("2026-03-01T00:00:00Z")),
        ("invoice.payment_failed", minutes(40), payment),
    ] {
        billing.webhook(&hook_at(event_type, at, &payload)).await.expect(200);
    }
    let answer = billing.service.get(&ada.token, &format!("/billing/subscription/{}", ada.id)).await.expect(200);
    let expected =
        json!({"plan_code": "PREMIUM", "status": "ACTIVE", "renew_at": "2026-04-01T00:00:00Z", "ends_at": ""});
    assert_eq!(answer.json, expected);
    assert_eq!(billing.published("SubscriptionRenewed").await.len(), 1);
}

#[tokio::test]
async fn unknown_references_are_not_found() {
    let (ada, bob) = (TestUser::student(), TestUser::student());
    let billing = Billing::start(&[&ada, &bob]).await;
    let nobody = id();
    for (event_type, payload) in [
        ("subscription.activated", json!({"user_id": nobody, "tenant_id": ada.tenant_id, "plan_code": "PREMIUM"})),
        ("subscription.activated", json!({"user_id": ada.id, "tenant_id": bob.tenant_id, "plan_code": "PREMIUM"})),
        ("subscription.activated", json!({"user_id": ada.id, "tenant_id": ada.tenant_id, "plan_code": "GOLD"})),
        ("subscription.renewed", json!({"subscription_id": nobody, "current_period_end": "2026-03-01T00:00:00Z"})),
        ("subscription.canceled", json!({"subscription_id": nobody})),
        ("invoice.paid", json!({"invoice_ref": "in_unknown"})),
        ("invoice.paid", json!({"subscription_id": nobody, "amount_usd": "1.00"})),
        ("invoice.payment_failed", json!({"invoice_ref": "in_unknown"})),
    ] {
        let answer = billing.webhook(&hook(event_type, &payload)).await;
        assert_eq!(answer.status, 404, "{event_type} {payload}: {}", answer.text);
    }
    assert_eq!(billing.count("webhook_events").await, 0);
    assert!(billing.db.outbox().await.is_empty());
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    let typed = |event_type: &str, payload: Value| json!({"eventType": event_type, "payload": payload});
    for (body, field) in [
        (typed("subscription.paused", json!({"subscription_id": id})), "eventType"),
        (json!({"payload": {}}), "eventType"),
        (json!({"eventType": "subscription.canceled"}), "payload"),
        (typed("subscription.canceled", json!([id])), "payload"),
        (typed("subscription.canceled", json!({})), "payload.subscription_id"),
        (typed("subscription.canceled", json!({"subscription_id": "42"})), "payload.subscription_id"),
        (typed("subscription.renewed", json!({"subscription_id": id})), "payload.current_period_end"),
        (
            typed("subscription.renewed", json!({"subscription_id": id, "current_period_end": "soon"})),
            "payload.current_period_end",
        ),
        (
            typed("subscription.activated", json!({"tenant_id": ada.tenant_id, "plan_code": "PREMIUM"})),
            "payload.user_id",
        ),
        (typed("subscription.activated", json!({"user_id": ada.id, "plan_code": "PREMIUM"})), "payload.tenant_id"),
        (typed("invoice.paid", json!({})), "payload.invoice_ref"),
        (typed("invoice.paid", json!({"subscription_id": id})), "payload.amount_usd"),
        (typed("invoice.paid", json!({"subscription_id": id, "amount_usd": -1})), "payload.amount_usd"),
        (typed("invoice.paid", json!({"subscription_id": id, "amount_usd": "1.234"})), "payload.amount_usd"),
        (json!({"eventType": "subscription.canceled", "payload": {"subscription_id": id}, "eventId": ""}), "eventId"),
        (
            json!({"eventType": "subscription.canceled", "payload": {"subscription_id": id}, "occurredAt": "now"}),
            "occurredAt",
        ),
        (json!({"eventType": "subscription.canceled", "payload": {"subscription_id": id}, "signed": true}), "signed"),
        (json!("subscription.canceled"), "body"),
    ] {
        let answer = billing.webhook(&body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "ACTIVE".into()));
    assert_eq!(billing.count("webhook_events").await, 0);
}
