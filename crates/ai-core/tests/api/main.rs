//! The AI core as its clients see it, on a real PostgreSQL, with real HTTP servers in the place of models.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]
#![expect(clippy::disallowed_methods, reason = "tests make ids of things that exist nowhere")]

mod chat;
mod executions;
mod flows;
mod identity;
mod model;
mod models;
mod spans;
mod usage;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use careeros_ai_core::{Core, Limits, MIGRATIONS, entitlement::Entitlement, grpc::App, provider::openai::Endpoint};
use careeros_shared::{
    clock::Clock,
    grpc::{Transport, open},
    proto::{
        billing::{
            ActivateSubscriptionRequest, ActivateSubscriptionResponse, CheckEntitlementRequest,
            CheckEntitlementResponse, GetActiveSubscriptionRequest, GetActiveSubscriptionResponse,
            HandleWebhookRequest, UpsertPlanRequest,
            subscription_billing_service_server::{SubscriptionBillingService, SubscriptionBillingServiceServer},
        },
        common::Ack,
    },
    testing::{self, Answer, TestDb, TestService, TestUser},
    trace::Tracer,
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, service::Routes};

use crate::model::ModelServer;

/// A service with a database of its own, with billing under the test's control.
struct Harness {
    service: TestService,
    db: TestDb,
    billing: Billing,
    clock: Clock,
}

/// A service without models that knows `users`.
async fn start(users: &[&TestUser]) -> Harness {
    start_with(users, &[]).await
}

/// A service that asks `models` in this order.
async fn start_with(users: &[&TestUser], models: &[&ModelServer]) -> Harness {
    let db = TestDb::new(&MIGRATIONS).await;
    let billing = Billing::default();
    let models = models.iter().map(|model| model.endpoint()).collect();
    let clock = testing::clock();
    let service = serve(&db, &clock, users, models, billing.transport());
    Harness { service, db, billing, clock }
}

fn serve(db: &TestDb, clock: &Clock, users: &[&TestUser], models: Vec<Endpoint>, billing: Transport) -> TestService {
    serve_traced(db, clock, users, models, billing, Tracer::off())
}

/// As [`serve`], with spans of calls to models.
fn serve_traced(
    db: &TestDb,
    clock: &Clock,
    users: &[&TestUser],
    models: Vec<Endpoint>,
    billing: Transport,
    tracer: Tracer,
) -> TestService {
    let limits = Limits { call: Duration::from_millis(400), deadline: Duration::from_secs(3) };
    let core = Core::new((**db).clone(), models, Entitlement::new(billing), limits, tracer).unwrap();
    let app = App { core: Arc::new(core), directory: testing::directory(users) };
    TestService::new(clock, app.routes(), careeros_rest::ai::routes)
}

impl Harness {
    /// Carries out `flow` for `user`.
    async fn execute(&self, user: &TestUser, flow: &str, input: Value) -> Answer {
        let body = json!({"userId": user.id, "tenantId": user.tenant_id, "flowName": flow, "input": input});
        self.service.post(&user.token, "/ai/flows/execute", body).await
    }

    /// How many rows `table` has, over all tenants.
    async fn count(&self, table: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(query).fetch_one(&self.db.admin).await.unwrap()
    }
}

/// The output of an execution, parsed.
fn output(answer: &Answer) -> Value {
    serde_json::from_str(answer.json["output_json"].as_str().unwrap()).unwrap()
}

/// A billing service that answers as told, and that insists on being called for a user.
#[derive(Clone, Default)]
struct Billing {
    refusal: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    /// For how many uses an answer holds.
    uses: Arc<AtomicU32>,
}

impl Billing {
    fn refuse(&self, reason: &str) {
        *self.refusal.lock().unwrap() = Some(reason.to_owned());
    }

    fn grant(&self, uses: u32) {
        self.uses.store(uses, Ordering::Relaxed);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn transport(&self) -> Transport {
        let routes = Routes::new(SubscriptionBillingServiceServer::new(self.clone()));
        TestService::new(&testing::clock(), routes, |_| axum::Router::new()).transport
    }
}

#[tonic::async_trait]
impl SubscriptionBillingService for Billing {
    async fn check_entitlement(
        &self,
        request: Request<CheckEntitlementRequest>,
    ) -> Result<Response<CheckEntitlementResponse>, Status> {
        let (context, message) = open(request)?;
        context.user()?;
        assert_eq!(message.feature_key, "ai.flow.execute");
        assert!(context.idempotency_key.is_none(), "the question is not the execution");
        self.asked.fetch_add(1, Ordering::Relaxed);
        let refusal = self.refusal.lock().unwrap().clone();
        let (allowed, uses) = (refusal.is_none(), self.uses.load(Ordering::Relaxed));
        Ok(Response::new(CheckEntitlementResponse { allowed, reason: refusal.unwrap_or_default(), uses }))
    }

    async fn get_active_subscription(
        &self,
        _: Request<GetActiveSubscriptionRequest>,
    ) -> Result<Response<GetActiveSubscriptionResponse>, Status> {
        Err(Status::unimplemented("not asked by the AI core"))
    }

    async fn upsert_plan(&self, _: Request<UpsertPlanRequest>) -> Result<Response<Ack>, Status> {
        Err(Status::unimplemented("not asked by the AI core"))
    }

    async fn activate_subscription(
        &self,
        _: Request<ActivateSubscriptionRequest>,
    ) -> Result<Response<ActivateSubscriptionResponse>, Status> {
        Err(Status::unimplemented("not asked by the AI core"))
    }

    async fn handle_webhook(&self, _: Request<HandleWebhookRequest>) -> Result<Response<Ack>, Status> {
        Err(Status::unimplemented("not asked by the AI core"))
    }
}
