//! Whether somebody's plan includes the AI: billing's to say, asked before executions, so that a call to this service's own
//! port is as safe as one through the gateway.
//!
//! Billing says for how many uses its answer holds. Those are drawn on for five seconds, without asking again; a
//! refusal is never remembered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use careeros_shared::{
    Result,
    context::Context,
    directory::Subject,
    error::Error,
    grpc::Transport,
    proto::billing::{CheckEntitlementRequest, subscription_billing_service_client::SubscriptionBillingServiceClient},
};
use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache;

/// What executions are gated by.
const FEATURE: &str = "ai.flow.execute";
/// How long an answer of billing holds.
const FRESH: TimeDelta = TimeDelta::seconds(5);
/// When an answer that has long been over is forgotten.
const FORGOTTEN: Duration = Duration::from_mins(1);
/// Users whose answers are remembered at a time.
const USERS: u64 = 10_000;

/// Asks the billing service.
#[derive(Debug, Clone)]
pub struct Entitlement {
    billing: SubscriptionBillingServiceClient<Transport>,
    grants: Cache<Subject, Arc<Grant>>,
}

/// An answer that holds for further uses.
#[derive(Debug)]
struct Grant {
    until: DateTime<Utc>,
    left: AtomicU32,
}

impl Grant {
    /// Whether there was a use left at `now`, which is then taken.
    fn take(&self, now: DateTime<Utc>) -> bool {
        now < self.until
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl Entitlement {
    /// Asks the billing service behind `transport`.
    pub fn new(transport: Transport) -> Self {
        let grants = Cache::builder().max_capacity(USERS).time_to_live(FORGOTTEN).build();
        Self { billing: SubscriptionBillingServiceClient::new(transport), grants }
    }

    /// Fails unless the subject may execute one more flow.
    ///
    /// # Errors
    /// 403 with billing's reason where the plan does not include it or its quota is spent; 503 where billing is away.
    pub async fn require(&self, context: &Context, subject: Subject) -> Result<()> {
        if self.grants.get(&subject).is_some_and(|grant| grant.take(context.now)) {
            return Ok(());
        }
        let request = CheckEntitlementRequest {
            meta: None,
            user_id: subject.user_id.to_string(),
            feature_key: FEATURE.to_owned(),
        };
        let answer = self.billing.clone().check_entitlement(context.subrequest(request)).await?.into_inner();
        if !answer.allowed {
            return Err(Error::not_entitled(answer.reason));
        }
        if answer.uses > 1 {
            let grant = Grant { until: context.now + FRESH, left: AtomicU32::new(answer.uses - 1) };
            self.grants.insert(subject, Arc::new(grant));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_ends_with_its_uses_and_with_its_time() {
        let now = DateTime::UNIX_EPOCH;
        let grant = Grant { until: now + FRESH, left: AtomicU32::new(2) };
        assert!(!grant.take(now + FRESH), "its time is over");
        assert!(grant.take(now) && grant.take(now));
        assert!(!grant.take(now), "its uses are spent");
    }
}
