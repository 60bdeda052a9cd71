//! The service's RPCs: each opens its context, finds whom it is about, and calls one function.

use std::sync::Arc;

use careeros_shared::{
    db::Db,
    directory::Directory,
    grpc::open,
    identity::Role,
    proto::{
        billing::{
            ActivateSubscriptionRequest, ActivateSubscriptionResponse, CheckEntitlementRequest,
            CheckEntitlementResponse, GetActiveSubscriptionRequest, GetActiveSubscriptionResponse,
            HandleWebhookRequest, UpsertPlanRequest,
            subscription_billing_service_server::{SubscriptionBillingService, SubscriptionBillingServiceServer},
        },
        common::Ack,
    },
};
use secrecy::SecretString;
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    activation, entitlement, plans,
    webhooks::{self, Webhook, signature},
};

/// What the RPCs work with.
#[derive(Debug, Clone)]
pub struct App {
    /// The database `billing`.
    pub db: Db,
    /// Knows users' tenants.
    pub directory: Directory,
    /// What webhooks are signed with; none refuses them all.
    pub webhook_secrets: Arc<[SecretString]>,
}

impl App {
    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(SubscriptionBillingServiceServer::new(self))
    }
}

pub(crate) const OK: Ack = Ack { ok: true, message: String::new() };

#[tonic::async_trait]
impl SubscriptionBillingService for App {
    async fn check_entitlement(
        &self,
        request: Request<CheckEntitlementRequest>,
    ) -> Result<Response<CheckEntitlementResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(entitlement::check(&self.db, subject, &message.feature_key, context.now).await?))
    }

    async fn get_active_subscription(
        &self,
        request: Request<GetActiveSubscriptionRequest>,
    ) -> Result<Response<GetActiveSubscriptionResponse>, Status> {
        let (context, message) = open(request)?;
        let subject = self.directory.subject(&context, &message.user_id, "").await?;
        Ok(Response::new(entitlement::subscription(&self.db, subject, context.now).await?))
    }

    async fn upsert_plan(&self, request: Request<UpsertPlanRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        context.user()?.require_any(&[Role::Operator])?;
        Ok(Response::new(plans::upsert(&self.db, &context, &message).await?))
    }

    async fn activate_subscription(
        &self,
        request: Request<ActivateSubscriptionRequest>,
    ) -> Result<Response<ActivateSubscriptionResponse>, Status> {
        let (context, message) = open(request)?;
        context.user()?.require_any(&[Role::Operator])?;
        Ok(Response::new(activation::activate(&self.db, &self.directory, &context, &message).await?))
    }

    async fn handle_webhook(&self, request: Request<HandleWebhookRequest>) -> Result<Response<Ack>, Status> {
        let (context, message) = open(request)?;
        signature::verify(&self.webhook_secrets, &message.signature, &message.raw_body, context.now)?;
        let webhook = Webhook::parse(&message.raw_body, context.now)?;
        webhooks::apply(&self.db, &self.directory, &context, &webhook).await?;
        Ok(Response::new(OK))
    }
}
