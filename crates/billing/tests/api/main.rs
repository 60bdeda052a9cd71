//! The subscription billing service as its clients see it, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod entitlement;
mod life;
mod plans;
mod subscriptions;
mod usage;
mod webhooks;

use axum::body::Body;
use careeros_billing::{MIGRATIONS, grpc::App};
use careeros_shared::{
    clock::Clock,
    grpc,
    identity::Role,
    proto::billing::{CheckEntitlementRequest, subscription_billing_service_client::SubscriptionBillingServiceClient},
    testing::{self, Answer, TestDb, TestService, TestUser},
};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

/// What webhooks are signed with in these tests; the second is the one to come.
const SECRETS: [&str; 2] = ["whsec_current", "whsec_next"];

/// A billing service with a database and a clock of its own, and an operator.
struct Billing {
    service: TestService,
    db: TestDb,
    clock: Clock,
    operator: TestUser,
}

impl Billing {
    /// A service that knows `users`.
    async fn start(users: &[&TestUser]) -> Self {
        Self::start_with(users, &SECRETS).await
    }

    async fn start_with(users: &[&TestUser], secrets: &[&str]) -> Self {
        let (db, clock) = (TestDb::new(&MIGRATIONS).await, testing::clock());
        let webhook_secrets = secrets.iter().map(|secret| (*secret).into()).collect();
        let app = App { db: db.clone(), directory: testing::directory(users), webhook_secrets };
        let service = TestService::new(&clock, app.routes(), careeros_rest::billing::routes);
        Self { service, db, clock, operator: TestUser::new(id(), &[Role::Operator]) }
    }

    /// A plan that costs `price` a month.
    async fn plan(&self, code: &str, price: &str, features: &[&str], quota: i64) {
        let plan = json!({"code": code, "name": code, "billingInterval": "MONTH", "priceUsd": price,
            "features": features, "aiQuotaMonthly": quota});
        self.service.post(&self.operator.token, "/billing/plans", plan).await.expect(200);
    }

    async fn post_activation(&self, body: Value) -> Answer {
        self.service.post(&self.operator.token, "/billing/subscriptions/activate", body).await
    }

    /// Activates `plan` for `user` and returns the subscription's id.
    async fn activate(&self, user: &TestUser, plan: &str, status: &str) -> String {
        let body = json!({"userId": user.id, "tenantId": user.tenant_id, "planCode": plan, "status": status});
        self.post_activation(body).await.expect(201).json["subscription_id"].as_str().unwrap().to_owned()
    }

    /// The user's subscription as REST tells it to an operator: plan and status.
    async fn subscription(&self, user: &TestUser) -> (String, String) {
        let operator =
            TestUser::at(self.operator.id, self.operator.tenant_id, &[Role::Operator], self.now().timestamp());
        let path = format!("/billing/subscriptions/{}", user.id);
        let answer = self.service.get(&operator.token, &path).await.expect(200).json;
        (answer["plan_code"].as_str().unwrap().to_owned(), answer["status"].as_str().unwrap().to_owned())
    }

    /// `Err` with the reason where the user may not use `feature`, as another service asks.
    async fn entitled(&self, user: &TestUser, feature: &str) -> Result<(), String> {
        let request = CheckEntitlementRequest {
            user_id: user.id.to_string(),
            feature_key: feature.to_owned(),
            ..Default::default()
        };
        let mut client = SubscriptionBillingServiceClient::new(self.service.transport.clone());
        let answer = client.check_entitlement(grpc::service_request(request, self.now())).await.unwrap().into_inner();
        if answer.allowed { Ok(()) } else { Err(answer.reason) }
    }

    /// Sends a webhook as the provider does.
    async fn webhook(&self, body: &Value) -> Answer {
        let body = body.to_string();
        let signature = sign(SECRETS[0], self.now().timestamp(), &body);
        self.send_webhook(&body, Some(&signature)).await
    }

    async fn send_webhook(&self, body: &str, signature: Option<&str>) -> Answer {
        let request = axum::http::Request::post("/billing/webhooks").header("content-type", "application/json");
        let request = match signature {
            Some(signature) => request.header("CareerOS-Signature", signature),
            None => request,
        };
        self.service.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn advance_days(&self, days: i64) {
        self.clock.advance(TimeDelta::days(days));
    }

    /// The payloads of the published events of a type, oldest first.
    async fn published(&self, event_type: &str) -> Vec<Value> {
        let outbox = self.db.outbox().await;
        outbox.into_iter().filter(|(_, _, e)| e.event_type == event_type).map(|(_, _, e)| e.payload).collect()
    }

    /// Status and amount of all invoices, oldest first.
    async fn invoices(&self) -> Vec<(String, String)> {
        sqlx::query_as("select status, amount_usd::text from invoices order by issued_at, id")
            .fetch_all(&self.db.admin)
            .await
            .unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count).fetch_one(&self.db.admin).await.unwrap()
    }
}

/// A new id.
fn id() -> Uuid {
    careeros_shared::id::new(testing::start())
}

/// The header that signs `body` at `time`.
fn sign(secret: &str, time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}
