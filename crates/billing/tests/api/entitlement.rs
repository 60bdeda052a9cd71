use careeros_billing::usage::{GROUP, Usage};
use careeros_shared::{
    identity::Role,
    proto::{
        billing::{CheckEntitlementRequest, subscription_billing_service_client::SubscriptionBillingServiceClient},
        common::RequestMeta,
    },
    testing::{self, TestUser},
};
use serde_json::json;
use tonic::{Code, Request};

use crate::{Billing, id, usage::execution};

/// `count` executions by `user` now.
async fn execute(billing: &Billing, user: &TestUser, count: usize) {
    let events: Vec<_> = (0..count).map(|_| execution(user, billing.now(), "SUCCESS")).collect();
    testing::deliver(&billing.db, GROUP, Usage, &events).await.unwrap();
}

#[tokio::test]
async fn the_seeded_plans_include_what_they_say() {
    let users = [TestUser::student(), TestUser::student(), TestUser::student()];
    let billing = Billing::start(&users.iter().collect::<Vec<_>>()).await;
    billing.activate(&users[1], "PREMIUM", "ACTIVE").await;
    billing.activate(&users[2], "ENTERPRISE", "ACTIVE").await;
    for (feature, plans) in [
        ("ai.flow.execute", [true, true, true]),
        ("ai.interview.simulation", [false, true, true]),
        ("roadmap.regenerate", [false, true, true]),
        ("analytics.advanced", [false, true, true]),
        ("lms.instructor.revenue_dashboard", [false, false, true]),
        ("never.heard.of", [false, false, true]),
    ] {
        for (user, allowed) in users.iter().zip(plans) {
            assert_eq!(billing.entitled(user, feature).await.is_ok(), allowed, "{feature}");
        }
    }
    let reason = billing.entitled(&users[0], "roadmap.regenerate").await.unwrap_err();
    assert_eq!(reason, "the plan FREEMIUM does not include roadmap.regenerate");
}

#[tokio::test]
async fn a_plan_that_the_client_claims_to_have_counts_for_nothing() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    let meta = RequestMeta { plan_tier: "ENTERPRISE".into(), ..RequestMeta::default() };
    let message = CheckEntitlementRequest {
        meta: Some(meta),
        user_id: ada.id.to_string(),
        feature_key: "roadmap.regenerate".into(),
    };
    let mut request = Request::new(message);
    for (name, value) in [("x-plan-tier", "ENTERPRISE"), ("x-user-plan", "ENTERPRISE")] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request.metadata_mut().insert("authorization", format!("Bearer {}", ada.token).parse().unwrap());
    let mut client = SubscriptionBillingServiceClient::new(billing.service.transport.clone());
    assert!(!client.check_entitlement(request).await.unwrap().into_inner().allowed);
}

#[tokio::test]
async fn the_free_quota_runs_out_and_is_full_again_next_month() {
    let (ada, bob) = (TestUser::student(), TestUser::student());
    let billing = Billing::start(&[&ada, &bob]).await;
    execute(&billing, &ada, 49).await;
    assert_eq!(billing.entitled(&ada, "ai.flow.execute").await, Ok(()));
    execute(&billing, &ada, 1).await;
    let reason = billing.entitled(&ada, "ai.flow.execute").await.unwrap_err();
    assert_eq!(reason, "the monthly AI quota of 50 in the plan FREEMIUM is used up; it resets on 2026-02-01");
    assert_eq!(billing.entitled(&bob, "ai.flow.execute").await, Ok(()), "another user's quota is their own");
    billing.advance_days(25);
    assert!(billing.entitled(&ada, "ai.flow.execute").await.is_err(), "it is January 31st");
    billing.advance_days(1);
    assert_eq!(billing.entitled(&ada, "ai.flow.execute").await, Ok(()));
}

#[tokio::test]
async fn a_paid_plan_has_its_own_quota_from_the_moment_it_is_active() {
    let ada = TestUser::student();
    let billing = Billing::start(&[&ada]).await;
    billing.plan("TINY", "5", &["ai.flow.execute", "roadmap.regenerate"], 3).await;
    execute(&billing, &ada, 2).await;
    billing.activate(&ada, "TINY", "ACTIVE").await;
    assert_eq!(billing.entitled(&ada, "ai.flow.execute").await, Ok(()));
    execute(&billing, &ada, 1).await;
    assert!(billing.entitled(&ada, "ai.flow.execute").await.unwrap_err().contains("quota of 3"));
    assert_eq!(billing.entitled(&ada, "roadmap.regenerate").await, Ok(()), "the quota binds AI alone");
    billing.plan("TINY", "5", &["ai.flow.execute"], 4).await;
    assert_eq!(billing.entitled(&ada, "ai.flow.execute").await, Ok(()), "a changed plan holds at once");
}

#[tokio::test]
async fn an_organizations_quota_is_one_pool_for_its_tenant() {
    let tenant = id();
    let (ada, bob) = (TestUser::new(tenant, &[Role::Student]), TestUser::new(tenant, &[Role::Student]));
    let billing = Billing::start(&[&ada, &bob]).await;
    billing.plan("TEAM", "50", &["*"], 5).await;
    let body = json!({"organizationId": id(), "tenantId": tenant, "planCode": "TEAM"});
    billing.post_activation(body).await.expect(201);
    execute(&billing, &ada, 4).await;
    assert_eq!(billing.entitled(&bob, "ai.flow.execute").await, Ok(()));
    execute(&billing, &bob, 1).await;
    for user in [&ada, &bob] {
        assert!(billing.entitled(user, "ai.flow.execute").await.unwrap_err().contains("quota of 5"));
    }
    billing.activate(&ada, "PREMIUM", "ACTIVE").await;
    assert_eq!(billing.entitled(&ada, "ai.flow.execute").await, Ok(()), "the own plan helps out");
}

#[tokio::test]
async fn every_live_status_entitles_until_the_period_ends() {
    for (status, last_day) in [("ACTIVE", 30), ("TRIAL", 13), ("PAST_DUE", 37)] {
        let ada = TestUser::student();
        let billing = Billing::start(&[&ada]).await;
        billing.activate(&ada, "PREMIUM", status).await;
        billing.advance_days(last_day);
        assert_eq!(billing.entitled(&ada, "roadmap.regenerate").await, Ok(()), "{status}");
        billing.advance_days(1);
        let reason = billing.entitled(&ada, "roadmap.regenerate").await.unwrap_err();
        assert!(reason.starts_with("the subscription to PREMIUM ended on 2026-"), "{status}: {reason}");
        assert_eq!(billing.entitled(&ada, "ai.flow.execute").await, Ok(()), "the free plan is left");
    }
}

#[tokio::test]
async fn who_may_ask() {
    let tenant = id();
    let ada = TestUser::new(tenant, &[Role::Student]);
    let peer = TestUser::new(tenant, &[Role::Student]);
    let admin = TestUser::new(tenant, &[Role::Admin]);
    let stranger = TestUser::new(id(), &[Role::Admin]);
    let billing = Billing::start(&[&ada, &peer, &admin, &stranger]).await;
    let ask = async |token: &str, user_id: String, feature_key: &str| {
        let mut request =
            Request::new(CheckEntitlementRequest { user_id, feature_key: feature_key.into(), meta: None });
        if !token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let mut client = SubscriptionBillingServiceClient::new(billing.service.transport.clone());
        client.check_entitlement(request).await.map(|answer| answer.into_inner().allowed).map_err(|s| s.code())
    };
    let id = ada.id.to_string();
    for (caller, expected) in [
        (&ada, Ok(true)),
        (&admin, Ok(true)),
        (&billing.operator, Ok(true)),
        (&peer, Err(Code::PermissionDenied)),
        (&stranger, Err(Code::PermissionDenied)),
    ] {
        assert_eq!(ask(&caller.token, id.clone(), "ai.flow.execute").await, expected);
    }
    assert_eq!(ask("", id.clone(), "ai.flow.execute").await, Err(Code::Unauthenticated));
    assert_eq!(ask(&ada.token, id, "").await, Err(Code::InvalidArgument));
    assert_eq!(ask(&ada.token, "42".into(), "ai.flow.execute").await, Err(Code::InvalidArgument));
    assert_eq!(ask(&ada.token, String::new(), "ai.flow.execute").await, Ok(true), "no user means the caller");
}
