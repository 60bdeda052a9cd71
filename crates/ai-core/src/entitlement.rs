//! Whether somebody's plan includes the AI: billing's to say, asked before each execution, so that a call to this
//! service's own port is as safe as one through the gateway.

use careeros_shared::{
    Result,
    context::Context,
    directory::Subject,
    error::Error,
    grpc::Transport,
    proto::billing::{CheckEntitlementRequest, subscription_billing_service_client::SubscriptionBillingServiceClient},
};

/// What executions are gated by.
const FEATURE: &str = "ai.flow.execute";

/// Asks the billing service.
#[derive(Debug, Clone)]
pub struct Entitlement(SubscriptionBillingServiceClient<Transport>);

impl Entitlement {
    /// Asks the billing service behind `transport`.
    pub fn new(transport: Transport) -> Self {
        Self(SubscriptionBillingServiceClient::new(transport))
    }

    /// Fails unless the subject may execute one more flow.
    ///
    /// # Errors
    /// 403 with billing's reason where the plan does not include it or its quota is spent; 503 where billing is away.
    pub async fn require(&self, context: &Context, subject: Subject) -> Result<()> {
        let request = CheckEntitlementRequest {
            meta: None,
            user_id: subject.user_id.to_string(),
            feature_key: FEATURE.to_owned(),
        };
        let answer = self.0.clone().check_entitlement(context.subrequest(request)).await?.into_inner();
        if answer.allowed { Ok(()) } else { Err(Error::not_entitled(answer.reason)) }
    }
}
