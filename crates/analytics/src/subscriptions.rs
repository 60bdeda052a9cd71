//! Subscriptions: their events and the price list, from which MRR and cancellations of any day follow.
//!
//! A subscription brings what the last of its events says: a renewal carries the amount; an activation, whose payload is
//! closed and has none, brings the price that its plan had at that time. So a new price counts from the next renewal on, as
//! it is paid. A trial brings nothing, `PAST_DUE` still counts, a cancellation ends it.

use careeros_shared::{
    Error, Result,
    db::Tx,
    events::{PlanChanged, SubscriptionActivated, SubscriptionCanceled, SubscriptionRenewed},
};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::events::Origin;

/// Events of subscriptions, column by column, as `unnest` takes them.
#[derive(Debug, Default)]
pub struct Subscriptions {
    ids: Vec<Uuid>,
    tenant_ids: Vec<Uuid>,
    subscription_ids: Vec<Uuid>,
    times: Vec<DateTime<Utc>>,
    kinds: Vec<&'static str>,
    plan_codes: Vec<String>,
    mrrs: Vec<Option<Decimal>>,
}

impl Subscriptions {
    /// Adds that a subscription is live.
    ///
    /// # Errors
    /// 400 for a status that the contract does not know.
    pub fn activated(&mut self, origin: Origin, event: SubscriptionActivated) -> Result<()> {
        let mrr_usd = match event.status.as_str() {
            "ACTIVE" | "PAST_DUE" => None,
            "TRIAL" => Some(Decimal::ZERO),
            _ => return Err(Error::invalid("status", "must be ACTIVE, TRIAL or PAST_DUE")),
        };
        self.add(origin, event.subscription_id, "ACTIVATED", event.plan_code, mrr_usd);
        Ok(())
    }

    /// Adds that a subscription goes on.
    ///
    /// # Errors
    /// 400 for a negative amount.
    pub fn renewed(&mut self, origin: Origin, event: SubscriptionRenewed) -> Result<()> {
        let mrr_usd = not_negative("mrr_usd", event.mrr_usd)?;
        self.add(origin, event.subscription_id, "RENEWED", event.plan_code, Some(mrr_usd));
        Ok(())
    }

    /// Adds that a subscription has ended.
    pub fn canceled(&mut self, origin: Origin, event: SubscriptionCanceled) {
        self.add(origin, event.subscription_id, "CANCELED", event.plan_code, Some(Decimal::ZERO));
    }

    fn add(
        &mut self,
        origin: Origin,
        subscription_id: Uuid,
        kind: &'static str,
        plan_code: String,
        mrr_usd: Option<Decimal>,
    ) {
        self.ids.push(origin.event_id);
        self.tenant_ids.push(origin.tenant_id);
        self.subscription_ids.push(subscription_id);
        self.times.push(origin.occurred_at);
        self.kinds.push(kind);
        self.plan_codes.push(plan_code);
        self.mrrs.push(mrr_usd);
    }

    /// Writes the events.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn write(&self, tx: &mut Tx) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into subscription_events (id, tenant_id, subscription_id, occurred_at, kind, plan_code, mrr_usd)
             select id, tenant_id, subscription_id, occurred_at, kind::subscription_event, plan_code, mrr_usd
             from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::numeric[])
                 as e(id, tenant_id, subscription_id, occurred_at, kind, plan_code, mrr_usd)
             on conflict on constraint subscription_events_pkey do nothing",
            &self.ids,
            &self.tenant_ids,
            &self.subscription_ids,
            &self.times,
            &self.kinds as &[&str],
            &self.plan_codes,
            &self.mrrs as &[Option<Decimal>],
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Changes of the price list, column by column.
#[derive(Debug, Default)]
pub struct Prices {
    ids: Vec<Uuid>,
    plan_codes: Vec<String>,
    effective: Vec<DateTime<Utc>>,
    times: Vec<DateTime<Utc>>,
    amounts: Vec<Decimal>,
    months: Vec<i32>,
}

impl Prices {
    /// Adds a plan's price.
    ///
    /// # Errors
    /// 400 for a negative price and for an interval that is not MONTH or YEAR.
    pub fn add(&mut self, origin: Origin, event: PlanChanged) -> Result<()> {
        let months = match event.billing_interval.as_str() {
            "MONTH" => 1,
            "YEAR" => 12,
            _ => return Err(Error::invalid("billing_interval", "must be MONTH or YEAR")),
        };
        self.amounts.push(not_negative("price_usd", event.price_usd)?);
        self.months.push(months);
        self.ids.push(origin.event_id);
        self.plan_codes.push(event.plan_code);
        self.effective.push(event.effective_at);
        self.times.push(origin.occurred_at);
        Ok(())
    }

    /// Writes the prices. The tenants that they concern are found when [`crate::daily`] counts again.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn write(&self, tx: &mut Tx) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into plan_prices (id, plan_code, effective_at, occurred_at, price_usd, months)
             select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::numeric[], $6::int[])
             on conflict on constraint plan_prices_pkey do nothing",
            &self.ids,
            &self.plan_codes,
            &self.effective,
            &self.times,
            &self.amounts,
            &self.months,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

fn not_negative(field: &str, amount: Decimal) -> Result<Decimal> {
    if amount.is_sign_negative() && !amount.is_zero() {
        return Err(Error::invalid(field, "must be 0 or more"));
    }
    Ok(amount)
}
