//! Subscriptions: who holds which plan. What one is at a given time follows from [`crate::lifecycle`]; this file loads
//! it, records it and tells others.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Directory,
    error::{Error, OrNotFound},
    events::{SubscriptionActivated, SubscriptionCanceled, SubscriptionRenewed},
    id,
    outbox::{self, About},
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{
    invoices,
    lifecycle::{Standing, State, Status},
    plans::{Interval, Plan, cents},
};

/// How long a trial lasts.
const TRIAL: TimeDelta = TimeDelta::days(14);
/// How long after its end a subscription that nobody canceled is reported as ended. It entitles to nothing meanwhile, but
/// word of a renewal is often some minutes late, and ending at once would report churn that did not happen.
const SETTLE: TimeDelta = TimeDelta::hours(1);
/// Subscriptions looked at in one go.
const PAGE: i64 = 200;

/// Who holds a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A user.
    User(Uuid),
    /// An organisation, for all users of its tenant.
    Organization(Uuid),
}

impl Holder {
    /// The holder that an input names by one of two fields.
    ///
    /// # Errors
    /// 400 naming `field` where it names none or both.
    pub fn one_of(field: &str, user_id: Option<Uuid>, organization_id: Option<Uuid>) -> Result<Self> {
        match (user_id, organization_id) {
            (Some(user_id), None) => Ok(Self::User(user_id)),
            (None, Some(organization_id)) => Ok(Self::Organization(organization_id)),
            _ => Err(Error::invalid(field, "give either the user or the organisation")),
        }
    }

    /// The user, where it is one.
    pub fn user_id(self) -> Option<Uuid> {
        match self {
            Self::User(id) => Some(id),
            Self::Organization(_) => None,
        }
    }

    /// The organisation, where it is one.
    pub fn organization_id(self) -> Option<Uuid> {
        match self {
            Self::User(_) => None,
            Self::Organization(id) => Some(id),
        }
    }

    /// Makes sure that a user is one of `tenant_id`. Organisations are known to billing alone; [`insert`] checks theirs.
    ///
    /// # Errors
    /// 404 where there is no such user there, whether or not there is one elsewhere; 503 where nobody can say.
    pub async fn check(self, directory: &Directory, tenant_id: Uuid, now: DateTime<Utc>) -> Result<()> {
        let Self::User(user_id) = self else { return Ok(()) };
        directory.find_tenant(user_id, now).await?.filter(|found| *found == tenant_id).map(|_| ()).or_not_found("user")
    }
}

/// A subscription whose row is locked.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// The tenant that it belongs to.
    pub tenant_id: Uuid,
    /// Who has it.
    pub holder: Holder,
    /// To what.
    pub plan: Plan,
    /// When the newest news about the plan happened.
    pub plan_known_at: Option<DateTime<Utc>>,
    /// When the current period began.
    pub period_start: DateTime<Utc>,
    /// What is known of it.
    pub state: State,
    /// What it was when it was last recorded.
    pub recorded: Status,
    /// Which plan it had then.
    recorded_plan_id: Uuid,
}

impl Subscription {
    /// Whose events its events are.
    pub fn about(&self) -> About {
        About { tenant_id: self.tenant_id, user_id: self.holder.user_id() }
    }

    /// What it brings in a month; a trial nothing.
    fn mrr_usd(&self) -> Decimal {
        if self.state.standing == Standing::Trial { cents(Decimal::ZERO) } else { self.plan.mrr_usd() }
    }

    /// Stores what has changed since it was last recorded, and publishes what of it concerns others: that it has ended,
    /// or that it is live where that is news, as it came back, was a trial or had another plan.
    ///
    /// # Errors
    /// 409 where it came back and its holder has another one by now; 503 where the database is away.
    pub async fn record(&mut self, tx: &mut Tx, context: &Context) -> Result<()> {
        let status = self.state.status(context.now);
        self.period_start = self.period_start.min(self.state.period_end);
        sqlx::query!(
            "update subscriptions set plan_id = $2, status = $3, standing = $4, current_period_start = $5,
                 current_period_end = $6, cancel_at_period_end = $7, plan_known_at = $8, period_known_at = $9,
                 cancel_known_at = $10, payment_known_at = $11, updated_at = $12
             where id = $1",
            self.id,
            self.plan.id,
            status.as_str(),
            self.state.standing.as_str(),
            self.period_start,
            self.state.period_end,
            self.state.cancel_at_period_end,
            self.plan_known_at,
            self.state.period_known_at,
            self.state.cancel_known_at,
            self.state.payment_known_at,
            context.now,
        )
        .execute(&mut **tx)
        .await
        .map_err(second_live)?;
        let ended = self.recorded.is_live() && !status.is_live();
        let paid_for = (self.recorded, status) == (Status::Trial, Status::Active);
        let begun = !self.recorded.is_live() || paid_for || self.recorded_plan_id != self.plan.id;
        (self.recorded, self.recorded_plan_id) = (status, self.plan.id);
        if ended {
            self.publish_canceled(tx, context).await
        } else if begun && status.is_live() {
            self.publish_activated(tx, context).await
        } else {
            Ok(())
        }
    }

    async fn publish_canceled(&self, tx: &mut Tx, context: &Context) -> Result<()> {
        let event = SubscriptionCanceled {
            subscription_id: self.id,
            user_id: self.holder.user_id(),
            plan_code: self.plan.code.clone(),
            canceled_at: self.state.deadline(),
            mrr_usd: self.mrr_usd(),
        };
        outbox::publish(tx, context, self.about(), &event).await
    }

    async fn publish_activated(&self, tx: &mut Tx, context: &Context) -> Result<()> {
        let event = SubscriptionActivated {
            subscription_id: self.id,
            user_id: self.holder.user_id(),
            organization_id: self.holder.organization_id(),
            plan_code: self.plan.code.clone(),
            activated_at: context.now,
            status: self.state.standing.as_str().to_owned(),
        };
        outbox::publish(tx, context, self.about(), &event).await
    }

    /// Publishes that its period was extended.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn publish_renewed(&self, tx: &mut Tx, context: &Context) -> Result<()> {
        let event = SubscriptionRenewed {
            subscription_id: self.id,
            user_id: self.holder.user_id(),
            plan_code: self.plan.code.clone(),
            current_period_end: self.state.period_end,
            mrr_usd: self.mrr_usd(),
        };
        outbox::publish(tx, context, self.about(), &event).await
    }

    /// Issues the invoice of the current period, unless nothing is due.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn bill(&self, tx: &mut Tx, context: &Context) -> Result<()> {
        if self.state.standing != Standing::Trial && !self.plan.price_usd.is_zero() {
            invoices::issue(tx, context, self, self.plan.price_usd, None).await?;
        }
        Ok(())
    }
}

/// The live subscription of `holder`, as last recorded.
///
/// # Errors
/// 503 where the database is away.
pub async fn find_live(tx: &mut Tx, holder: Holder) -> Result<Option<Uuid>> {
    let found = sqlx::query_scalar!(
        "select id from subscriptions
         where (user_id = $1 or organization_id = $2) and status in ('TRIAL', 'ACTIVE', 'PAST_DUE')",
        holder.user_id(),
        holder.organization_id(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found)
}

/// Locks the subscription `id`, so that whoever changes it, and publishes that, does so one after the other.
///
/// # Errors
/// 503 where the database is away.
pub async fn find_locked(tx: &mut Tx, id: Uuid) -> Result<Option<Subscription>> {
    let found = sqlx::query!(
        r#"select s.tenant_id, s.user_id, s.organization_id, s.status as "status: Status",
                  s.standing as "standing: Standing", s.current_period_start, s.current_period_end,
                  s.cancel_at_period_end, s.plan_known_at, s.period_known_at, s.cancel_known_at, s.payment_known_at,
                  p.id as plan_id, p.code, p.billing_interval as "billing_interval: Interval", p.price_usd
           from subscriptions s join plans p on p.id = s.plan_id
           where s.id = $1
           for update of s"#,
        id,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let holder = match (row.user_id, row.organization_id) {
        (Some(user_id), _) => Holder::User(user_id),
        (None, Some(organization_id)) => Holder::Organization(organization_id),
        (None, None) => return Err(Error::internal(anyhow::anyhow!("subscription {id} has no holder"))),
    };
    Ok(Some(Subscription {
        id,
        tenant_id: row.tenant_id,
        holder,
        plan: Plan {
            id: row.plan_id,
            code: row.code,
            billing_interval: row.billing_interval,
            price_usd: row.price_usd,
        },
        plan_known_at: row.plan_known_at,
        period_start: row.current_period_start,
        state: State {
            standing: row.standing,
            period_end: row.current_period_end,
            cancel_at_period_end: row.cancel_at_period_end,
            period_known_at: row.period_known_at,
            cancel_known_at: row.cancel_known_at,
            payment_known_at: row.payment_known_at,
        },
        recorded: row.status,
        recorded_plan_id: row.plan_id,
    }))
}

/// Begins a subscription now, publishes it and issues its first invoice. A trial is the first two weeks without one.
///
/// # Errors
/// 404 for an organisation of another tenant; 409 where the holder has a live one; 503 where the database is away.
pub async fn insert(
    tx: &mut Tx,
    context: &Context,
    tenant_id: Uuid,
    holder: Holder,
    plan: Plan,
    standing: Standing,
) -> Result<Subscription> {
    if let Holder::Organization(organization_id) = holder {
        open_account(tx, organization_id, tenant_id, context.now).await?;
    }
    let trial_ends_at = (standing == Standing::Trial).then(|| context.now + TRIAL);
    let period_end = trial_ends_at.unwrap_or_else(|| plan.period_end(context.now));
    let plan_id = plan.id;
    let subscription = Subscription {
        id: id::new(context.now),
        tenant_id,
        holder,
        plan,
        plan_known_at: None,
        period_start: context.now,
        state: State::new(standing, period_end),
        recorded: standing.into(),
        recorded_plan_id: plan_id,
    };
    sqlx::query!(
        "insert into subscriptions (id, tenant_id, user_id, organization_id, plan_id, status, standing, trial_ends_at,
                                    current_period_start, current_period_end, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $8, $8)",
        subscription.id,
        tenant_id,
        holder.user_id(),
        holder.organization_id(),
        plan_id,
        standing.as_str(),
        trial_ends_at,
        context.now,
        period_end,
    )
    .execute(&mut **tx)
    .await
    .map_err(second_live)?;
    subscription.publish_activated(tx, context).await?;
    subscription.bill(tx, context).await?;
    Ok(subscription)
}

/// An organisation's first subscription opens its account.
async fn open_account(tx: &mut Tx, organization_id: Uuid, tenant_id: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "insert into organization_accounts (id, tenant_id, created_at) values ($1, $2, $3)
         on conflict on constraint organization_accounts_pkey do nothing",
        organization_id,
        tenant_id,
        now,
    )
    .execute(&mut **tx)
    .await?;
    let own = sqlx::query_scalar!(
        "select id from organization_accounts where id = $1 and tenant_id = $2",
        organization_id,
        tenant_id,
    )
    .fetch_optional(&mut **tx)
    .await?;
    own.map(|_| ()).or_not_found("organization")
}

/// Records and publishes the end of the subscriptions that have ended by `now`. Several services may do so at once: each
/// row is looked at again under its lock.
///
/// # Errors
/// 503 where the database is away.
pub async fn end_due(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let mut last = (DateTime::UNIX_EPOCH, Uuid::nil());
    loop {
        let mut tx = db.begin_system().await?;
        // In the order of the index of those that end: there are many subscriptions, and few of them are due.
        let page = sqlx::query!(
            "select id, current_period_end from subscriptions
             where status in ('TRIAL', 'ACTIVE', 'PAST_DUE') and current_period_end <= $1
                   and (current_period_end, id) > ($2, $3)
             order by current_period_end, id limit $4",
            now,
            last.0,
            last.1,
            PAGE,
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &page {
            if let Some(mut subscription) = find_locked(&mut tx, row.id).await?
                && is_over(&subscription.state, now)
            {
                subscription.record(&mut tx, &Context::internal(now)).await?;
            }
        }
        tx.commit().await?;
        match page.last() {
            Some(row) => last = (row.current_period_end, row.id),
            None => return Ok(()),
        }
    }
}

/// Whether a subscription's end is to be reported.
fn is_over(state: &State, now: DateTime<Utc>) -> bool {
    match state.status(now) {
        Status::Canceled => true,
        Status::Expired => now >= state.deadline() + SETTLE,
        Status::Trial | Status::Active | Status::PastDue => false,
    }
}

/// The two unique indexes over live subscriptions stand for one rule.
fn second_live(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if matches!(constraint, Some("subscriptions_user_id_key" | "subscriptions_organization_id_key")) {
        already_active().with_source(error)
    } else {
        error.into()
    }
}

/// 409: one live subscription is the most that a user or an organisation has.
pub(crate) fn already_active() -> Error {
    Error::conflict("already_active", "this user or organisation has a live subscription already")
}
