//! Activation: how a subscription begins, by an operator's hand or by the payment provider's word.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Directory,
    error::Error,
    id, idempotency,
    proto::billing::{ActivateSubscriptionRequest, ActivateSubscriptionResponse},
    validate::Checks,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    lifecycle::{News, Standing, is_newest},
    plans,
    subscriptions::{self, Holder, already_active},
};

/// Who is to have which plan.
#[derive(Debug)]
pub struct Activation {
    /// The tenant that the subscription belongs to.
    pub tenant_id: Uuid,
    /// Who is to have it.
    pub holder: Holder,
    /// The plan.
    pub plan_code: String,
    /// How it begins.
    pub standing: Standing,
}

impl Activation {
    fn parse(request: &ActivateSubscriptionRequest) -> Result<Self> {
        let mut checks = Checks::new();
        let tenant_id = checks.ok(id::parse("tenantId", &request.tenant_id));
        let user_id = request.user_id.as_deref().map(|user_id| id::parse("userId", user_id));
        let organization_id = request.organization_id.as_deref().map(|id| id::parse("organizationId", id));
        let holder = match (user_id.transpose(), organization_id.transpose()) {
            (Ok(user_id), Ok(organization_id)) => checks.ok(Holder::one_of("userId", user_id, organization_id)),
            (user_id, organization_id) => {
                checks.ok(user_id);
                checks.ok(organization_id);
                None
            }
        };
        checks.text("planCode", &request.plan_code, 1, 64);
        let status = if request.status.is_empty() { "ACTIVE" } else { &request.status };
        let standing = Standing::parse(status);
        checks.check("status", standing.is_some(), "must be ACTIVE, TRIAL or PAST_DUE");
        checks.finish()?;
        match (tenant_id, holder, standing) {
            (Some(tenant_id), Some(holder), Some(standing)) => {
                Ok(Self { tenant_id, holder, plan_code: request.plan_code.clone(), standing })
            }
            _ => Err(Error::invalid("userId", "is required")),
        }
    }
}

/// Activates a subscription as an operator asks.
///
/// # Errors
/// 400 naming each wrong field; 404 for an unknown plan, or a user or organisation that is not of the tenant; 409 where
/// there is a live subscription; 503 where the database or the auth service is away.
pub async fn activate(
    db: &Db,
    directory: &Directory,
    context: &Context,
    request: &ActivateSubscriptionRequest,
) -> Result<ActivateSubscriptionResponse> {
    let Activation { tenant_id, holder, plan_code, standing } = Activation::parse(request)?;
    holder.check(directory, tenant_id, context.now).await?;
    idempotency::run(db, context, "billing.activate", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin(tenant_id).await?;
        let plan = plans::get(&mut tx, &plan_code).await?;
        if let Some(id) = subscriptions::find_live(&mut tx, holder).await?
            && let Some(mut previous) = subscriptions::find_locked(&mut tx, id).await?
        {
            // It may be over and nobody has recorded that yet.
            previous.record(&mut tx, context).await?;
            if previous.recorded.is_live() {
                return Err(already_active());
            }
        }
        let subscription = subscriptions::insert(&mut tx, context, tenant_id, holder, plan, standing).await?;
        let response = ActivateSubscriptionResponse {
            subscription_id: subscription.id.to_string(),
            status: subscription.recorded.as_str().to_owned(),
        };
        claim.complete(&mut tx, &response).await?;
        tx.commit().await?;
        Ok(response)
    })
    .await
}

/// Takes in the payment provider's word that a subscription was activated `at`: one begins where there is no live one,
/// another plan replaces the plan from now on, and the same plan again withdraws a cancellation.
///
/// # Errors
/// 404 for an unknown plan or an organisation of another tenant; 503 where the database is away.
pub async fn hear(tx: &mut Tx, context: &Context, activation: &Activation, at: DateTime<Utc>) -> Result<()> {
    let &Activation { tenant_id, holder, standing, .. } = activation;
    let plan = plans::get(tx, &activation.plan_code).await?;
    if let Some(id) = subscriptions::find_live(tx, holder).await?
        && let Some(mut subscription) = subscriptions::find_locked(tx, id).await?
    {
        if subscription.tenant_id != tenant_id {
            return Err(Error::not_found("organization"));
        }
        if subscription.state.status(context.now).is_live() {
            if !is_newest(&mut subscription.plan_known_at, at) {
                return Ok(());
            }
            let paid_anew = subscription.plan != plan || subscription.state.standing == Standing::Trial;
            let news = if paid_anew {
                subscription.period_start = context.now;
                News::Renewed { period_end: plan.period_end(context.now) }
            } else {
                News::Resumed
            };
            subscription.plan = plan;
            subscription.state.hear(news, at);
            subscription.record(tx, context).await?;
            return if paid_anew { subscription.bill(tx, context).await } else { Ok(()) };
        }
        subscription.record(tx, context).await?;
    }
    if is_outdated(tx, holder, at).await? {
        return Ok(());
    }
    let mut subscription = subscriptions::insert(tx, context, tenant_id, holder, plan, standing).await?;
    subscription.plan_known_at = Some(at);
    subscription.record(tx, context).await
}

/// Whether newer news of a subscription of the holder's that is over is known: what was activated `at` is then that one,
/// and word of it is late.
async fn is_outdated(tx: &mut Tx, holder: Holder, at: DateTime<Utc>) -> Result<bool> {
    let outdated = sqlx::query_scalar!(
        r#"select exists (
               select from subscriptions
               where (user_id = $1 or organization_id = $2)
                     and greatest(plan_known_at, period_known_at, cancel_known_at) > $3
           ) as "outdated!""#,
        holder.user_id(),
        holder.organization_id(),
        at,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(outdated)
}
