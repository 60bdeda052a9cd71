use careeros_billing::subscriptions;
use careeros_shared::{identity::Role, testing::TestUser};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{Billing, id};

const ACTIVATE: &str = "/billing/subscriptions/activate";

fn activation(user: &TestUser) -> Value {
    json!({"userId": user.id, "tenantId": user.tenant_id, "planCode": "PREMIUM"})
}

#[tokio::test]
async fn an_activation_is_visible_published_and_billed() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let own = format!("/billing/subscription/{}", ada.id);
    let none = billing.service.get(&ada.token, &own).await.expect(200);
    assert_eq!(none.json, json!({"plan_code": "FREE", "status": "INACTIVE", "renew_at": "", "ends_at": ""}));

    let answer = billing.post_activation(activation(&ada)).await.expect(201);
    assert_eq!(answer.json["status"], "ACTIVE");
    for path in [own, format!("/billing/subscriptions/{}", ada.id)] {
        let mine = billing.service.get(&ada.token, &path).await.expect(200);
        let expected =
            json!({"plan_code": "PREMIUM", "status": "ACTIVE", "renew_at": "2026-02-06T12:00:00Z", "ends_at": ""});
        assert_eq!(mine.json, expected);
    }
    let outbox = billing.db.outbox().await;
    let [(topic, key, event)] = &outbox[..] else { panic!("{outbox:?}") };
    assert_eq!(topic, "careeros.billing.subscription-activated.v1");
    assert_eq!(json!(key), answer.json["subscription_id"]);
    assert_eq!((event.tenant_id.clone(), event.user().unwrap()), (ada.tenant_id.to_string(), Some(ada.id)));
    let payload = json!({"subscription_id": key, "user_id": ada.id, "plan_code": "PREMIUM",
        "activated_at": "2026-01-06T12:00:00Z", "status": "ACTIVE"});
    assert_eq!(event.payload, payload);
    assert_eq!(billing.invoices().await, [("OPEN".to_owned(), "29.00".to_owned())]);
}

#[tokio::test]
async fn nobody_activates_a_paid_plan_but_an_operator() {
    let tenant = id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin, Role::Instructor]);
    let billing = Billing::start(&[&ada, &admin]).await;
    billing.service.post("", ACTIVATE, activation(&ada)).await.expect(401);
    for caller in [&ada, &admin] {
        billing.service.post(&caller.token, ACTIVATE, activation(&ada)).await.expect(403);
    }
    assert_eq!(billing.count("subscriptions").await, 0);
    assert!(billing.db.outbox().await.is_empty());
}

#[tokio::test]
async fn who_sees_a_subscription() {
    let tenant = id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let peer = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let stranger = TestUser::new(id(), &[Role::Admin]);
    let billing = Billing::start(&[&ada, &peer, &admin, &stranger]).await;
    billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    let path = format!("/billing/subscriptions/{}", ada.id);
    billing.service.get("", &path).await.expect(401);
    billing.service.get(&peer.token, &path).await.expect(403);
    billing.service.get(&stranger.token, &path).await.expect(403);
    for caller in [&ada, &admin, &billing.operator] {
        assert_eq!(billing.service.get(&caller.token, &path).await.expect(200).json["plan_code"], "PREMIUM");
    }
    assert_eq!(billing.service.get(&ada.token, "/billing/subscriptions/42").await.expect(400).fields(), ["userId"]);
}

#[tokio::test]
async fn of_two_activations_at_once_one_wins() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let (first, second) =
        tokio::join!(billing.post_activation(activation(&ada)), billing.post_activation(activation(&ada)));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let loser = if first.status == 409 { first } else { second };
    assert_eq!(loser.json["code"], "already_active");
    assert_eq!(billing.db.event_types().await, ["SubscriptionActivated"]);
    assert_eq!(billing.count("invoices").await, 1);
}

#[tokio::test]
async fn a_retry_with_the_same_key_gets_the_first_answer() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let token = &billing.operator.token;
    let first = billing.service.post_once(token, ACTIVATE, "k-1", activation(&ada)).await.expect(201);
    let again = billing.service.post_once(token, ACTIVATE, "k-1", activation(&ada)).await.expect(201);
    assert_eq!(first.json, again.json);
    assert_eq!(billing.count("subscriptions").await, 1);
}

#[tokio::test]
async fn a_user_of_another_tenant_looks_like_nobody() {
    let (ada, bob) = (TestUser::student(), TestUser::student());
    let billing = Billing::start(&[&ada, &bob]).await;
    let theirs = json!({"userId": bob.id, "tenantId": ada.tenant_id, "planCode": "PREMIUM"});
    let nobodys = json!({"userId": id(), "tenantId": ada.tenant_id, "planCode": "PREMIUM"});
    let theirs = billing.post_activation(theirs).await.expect(404);
    let nobodys = billing.post_activation(nobodys).await.expect(404);
    assert_eq!(theirs.json["detail"], nobodys.json["detail"]);
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let (user, tenant) = (ada.id, ada.tenant_id);
    for (body, fields) in [
        (json!({"userId": "42", "tenantId": tenant, "planCode": "PREMIUM"}), vec!["userId"]),
        (json!({"organizationId": "42", "tenantId": tenant, "planCode": "PREMIUM"}), vec!["organizationId"]),
        (json!({"tenantId": tenant, "planCode": "PREMIUM"}), vec!["userId"]),
        (json!({"userId": user, "organizationId": user, "tenantId": tenant, "planCode": "PREMIUM"}), vec!["userId"]),
        (
            json!({"userId": user, "tenantId": "x", "planCode": "", "status": "GOLD"}),
            vec!["tenantId", "planCode", "status"],
        ),
        (json!({"userId": user, "tenantId": tenant, "planCode": "PREMIUM", "status": "CANCELED"}), vec!["status"]),
        (json!({"userId": user, "planCode": "PREMIUM"}), vec!["tenantId"]),
        (json!({"userId": user, "tenantId": tenant, "planCode": "PREMIUM", "price": 0}), vec!["price"]),
        (json!({"userId": 7, "tenantId": tenant, "planCode": "PREMIUM"}), vec!["userId"]),
    ] {
        assert_eq!(billing.post_activation(body).await.expect(400).fields(), fields);
    }
    let unknown = json!({"userId": user, "tenantId": tenant, "planCode": "GOLD"});
    assert_eq!(billing.post_activation(unknown).await.expect(404).json["detail"], "plan not found");
    assert_eq!(billing.count("subscriptions").await, 0);
}

#[tokio::test]
async fn a_trial_owes_nothing_and_ends_by_itself() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.activate(&ada, "PREMIUM", "TRIAL").await;
    assert_eq!(billing.subscription(&ada).await, ("PREMIUM".into(), "TRIAL".into()));
    assert_eq!(billing.invoices().await, []);
    billing.advance_days(14);
    assert_eq!(billing.subscription(&ada).await, ("FREE".into(), "INACTIVE".into()));
}

#[tokio::test]
async fn what_nobody_renews_ends_and_is_reported_once() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let id = billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    billing.advance_days(31);
    assert_eq!(billing.subscription(&ada).await, ("FREE".into(), "INACTIVE".into()));
    // Word of a renewal may still be on its way.
    subscriptions::end_due(&billing.db, billing.now()).await.unwrap();
    assert_eq!(billing.published("SubscriptionCanceled").await, Vec::<Value>::new());
    billing.clock.advance(TimeDelta::hours(1));
    let (db, now) = (&billing.db, billing.now());
    let (first, second) = tokio::join!(subscriptions::end_due(db, now), subscriptions::end_due(db, now));
    first.unwrap();
    second.unwrap();
    let ended = json!({"subscription_id": id, "user_id": ada.id, "plan_code": "PREMIUM",
        "canceled_at": "2026-02-06T12:00:00Z", "mrr_usd": "29.00"});
    assert_eq!(billing.published("SubscriptionCanceled").await, [ended]);
    let status: String =
        sqlx::query_scalar("select status from subscriptions").fetch_one(&billing.db.admin).await.unwrap();
    assert_eq!(status, "EXPIRED");
}

#[tokio::test]
async fn however_many_end_at_the_same_moment_all_are_reported() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    // More than two pages, and one that is not over.
    sqlx::raw_sql(
        "insert into subscriptions (id, tenant_id, user_id, plan_id, status, standing, current_period_start,
                                    current_period_end, created_at, updated_at)
         select gen_random_uuid(), tenant_id, gen_random_uuid(), plan_id, status, standing, current_period_start,
                current_period_end + case when n = 500 then interval '1 day' else interval '0' end, created_at, updated_at
         from subscriptions, generate_series(1, 500) n",
    )
    .execute(&billing.db.admin)
    .await
    .unwrap();
    billing.advance_days(31);
    billing.clock.advance(TimeDelta::hours(1));
    subscriptions::end_due(&billing.db, billing.now()).await.unwrap();
    assert_eq!(billing.published("SubscriptionCanceled").await.len(), 500);
    assert_eq!(billing.count("subscriptions where status = 'ACTIVE'").await, 1);
}

#[tokio::test]
async fn an_ended_subscription_makes_room_for_a_new_one_before_anybody_noticed_its_end() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    billing.advance_days(31);
    let operator =
        TestUser::at(billing.operator.id, billing.operator.tenant_id, &[Role::Operator], billing.now().timestamp());
    billing.service.post(&operator.token, ACTIVATE, activation(&ada)).await.expect(201);
    assert_eq!(
        billing.db.event_types().await,
        ["SubscriptionActivated", "SubscriptionCanceled", "SubscriptionActivated"]
    );
}

#[tokio::test]
async fn an_organizations_subscription_is_for_all_of_its_tenant() {
    let tenant = id();
    let (ada, bob) = (TestUser::new(tenant, &[Role::Student]), TestUser::new(tenant, &[Role::Student]));
    let stranger = TestUser::student();
    let billing = Billing::start(&[&ada, &bob, &stranger]).await;
    let organization = id();
    let body = json!({"organizationId": organization, "tenantId": tenant, "planCode": "ENTERPRISE"});
    billing.post_activation(body.clone()).await.expect(201);
    for user in [&ada, &bob] {
        assert_eq!(billing.subscription(user).await, ("ENTERPRISE".into(), "ACTIVE".into()));
        assert_eq!(billing.entitled(user, "lms.instructor.revenue_dashboard").await, Ok(()));
    }
    assert!(billing.entitled(&stranger, "lms.instructor.revenue_dashboard").await.is_err());
    billing.post_activation(body).await.expect(409);
    let elsewhere = json!({"organizationId": organization, "tenantId": stranger.tenant_id, "planCode": "ENTERPRISE"});
    billing.post_activation(elsewhere).await.expect(404);
    let activated = billing.published("SubscriptionActivated").await;
    assert_eq!(activated.len(), 1);
    assert_eq!((&activated[0]["organization_id"], activated[0].get("user_id")), (&json!(organization), None));

    // The own subscription comes before the organisation's.
    billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    assert_eq!(billing.subscription(&ada).await.0, "PREMIUM");
}

#[tokio::test]
async fn row_level_security_hides_what_a_query_forgets_to_filter() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    for table in ["subscriptions", "invoices"] {
        let count = || sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let mut own = billing.db.begin(ada.tenant_id).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&mut *own).await.unwrap(), 1);
        let mut other = billing.db.begin(id()).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&mut *other).await.unwrap(), 0);
        assert_eq!(sqlx::query_scalar::<_, i64>(count()).fetch_one(&*billing.db).await.unwrap(), 0);
    }
}
