use careeros_billing::plans;
use careeros_shared::{identity::Role, testing::TestUser};
use serde_json::{Value, json};

use crate::{Billing, id};

fn pro() -> Value {
    json!({"code": "PRO", "name": "Pro", "billingInterval": "YEAR", "priceUsd": 290.5,
        "features": ["ai.flow.execute"], "aiQuotaMonthly": 7})
}

#[tokio::test]
async fn a_plan_is_created_then_changed_and_keeps_what_is_not_sent() {
    let billing = Billing::start(&[]).await;
    let token = &billing.operator.token;
    let answer = billing.service.post(token, "/billing/plans", pro()).await.expect(200);
    assert_eq!(answer.json, json!({"ok": true}));
    let change = json!({"code": "PRO", "name": "Pro+", "billingInterval": "MONTHLY", "priceUsd": "30"});
    billing.service.post(token, "/billing/plans", change).await.expect(200);

    let stored: (String, String, String, Value, Option<i64>) = sqlx::query_as(
        "select name, billing_interval, price_usd::text, features_json, ai_quota_monthly from plans where code = 'PRO'",
    )
    .fetch_one(&billing.db.admin)
    .await
    .unwrap();
    assert_eq!(stored, ("Pro+".into(), "MONTH".into(), "30.00".into(), json!(["ai.flow.execute"]), Some(7)));

    let outbox = billing.db.outbox().await;
    assert!(outbox.iter().all(|(topic, key, _)| topic == "careeros.billing.plan-changed.v1" && key == "PRO"));
    let told: Vec<_> =
        outbox.iter().map(|(_, _, e)| (&e.payload["price_usd"], &e.payload["billing_interval"])).collect();
    assert_eq!(told, [(&json!("290.50"), &json!("YEAR")), (&json!("30.00"), &json!("MONTH"))]);
}

#[tokio::test]
async fn the_same_plan_again_is_no_change() {
    let billing = Billing::start(&[]).await;
    for _ in 0..3 {
        billing.service.post(&billing.operator.token, "/billing/plans", pro()).await.expect(200);
    }
    assert_eq!(billing.db.event_types().await, ["PlanChanged"]);
}

#[tokio::test]
async fn only_an_operator_makes_plans() {
    let billing = Billing::start(&[]).await;
    billing.service.post("", "/billing/plans", pro()).await.expect(401);
    for role in [Role::Student, Role::Instructor, Role::Admin] {
        let user = TestUser::new(id(), &[role]);
        billing.service.post(&user.token, "/billing/plans", pro()).await.expect(403);
    }
    assert_eq!(billing.count("plans").await, 3);
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let billing = Billing::start(&[]).await;
    for (field, value) in [
        ("code", json!("pro")),
        ("code", json!("")),
        ("code", json!("P".repeat(65))),
        ("code", json!(null)),
        ("name", json!(" ")),
        ("name", json!("n".repeat(256))),
        ("billingInterval", json!("WEEK")),
        ("priceUsd", json!(-1)),
        ("priceUsd", json!(1.005)),
        ("priceUsd", json!("a lot")),
        ("priceUsd", json!([])),
        ("priceUsd", json!(1e12)),
        ("features", json!("*")),
        ("features[1]", json!(["a", ""])),
        ("features[1]", json!(["a", 1])),
        ("aiQuotaMonthly", json!(-1)),
        ("aiQuotaMonthly", json!(0.5)),
        ("isFree", json!(true)),
    ] {
        let mut body = pro();
        body[field.split('[').next().unwrap()] = value;
        let answer = billing.service.post(&billing.operator.token, "/billing/plans", body).await.expect(400);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
    let several = json!({"code": "x", "name": "", "billingInterval": "", "priceUsd": -1});
    let answer = billing.service.post(&billing.operator.token, "/billing/plans", several).await.expect(400);
    assert_eq!(answer.fields(), ["code", "name", "billingInterval", "priceUsd"]);
    assert!(billing.db.outbox().await.is_empty());
}

#[tokio::test]
async fn a_retry_with_the_same_key_has_one_effect() {
    let billing = Billing::start(&[]).await;
    let token = &billing.operator.token;
    for _ in 0..2 {
        billing.service.post_once(token, "/billing/plans", "k-1", pro()).await.expect(200);
    }
    let mut other = pro();
    other["priceUsd"] = json!(1);
    billing.service.post_once(token, "/billing/plans", "k-1", other).await.expect(422);
    assert_eq!(billing.db.event_types().await, ["PlanChanged"]);
}

#[tokio::test]
async fn seeded_plans_are_announced_once_by_however_many_services_start() {
    let billing = Billing::start(&[]).await;
    let (db, now) = (&billing.db, billing.now());
    let (first, second) = tokio::join!(plans::announce(db, now), plans::announce(db, now));
    first.unwrap();
    second.unwrap();
    plans::announce(db, now).await.unwrap();
    let mut told: Vec<_> = billing
        .published("PlanChanged")
        .await
        .into_iter()
        .map(|plan| (plan["plan_code"].as_str().unwrap().to_owned(), plan["price_usd"].as_str().unwrap().to_owned()))
        .collect();
    told.sort();
    let expected = [("ENTERPRISE", "299.00"), ("FREEMIUM", "0.00"), ("PREMIUM", "29.00")];
    assert_eq!(told, expected.map(|(code, price)| (code.to_owned(), price.to_owned())));
}
