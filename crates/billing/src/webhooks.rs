//! The payment provider's webhooks: read, applied once, in any order.

use careeros_rest::billing::Amount;
use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Directory,
    error::{Error, FieldError, OrNotFound},
    extract::parse_json,
    sweep,
    validate::Checks,
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    activation::{self, Activation},
    invoices,
    lifecycle::{News, Standing},
    plans,
    subscriptions::{self, Holder, Subscription},
};

pub mod signature;

/// How long a webhook is remembered; providers give up repeating one after days.
const RETENTION: TimeDelta = TimeDelta::days(90);

/// A webhook that was read and found well-formed.
#[derive(Debug)]
pub struct Webhook {
    /// What repetitions are known by.
    key: String,
    occurred_at: DateTime<Utc>,
    event: Event,
}

/// What happened at the provider.
#[derive(Debug)]
enum Event {
    Activated(Activation),
    Renewed { subscription_id: Uuid, period_end: DateTime<Utc> },
    Canceled { subscription_id: Uuid, at_period_end: bool },
    Paid(InvoiceRef),
    PaymentFailed(InvoiceRef),
}

/// Which invoice is meant.
#[derive(Debug)]
struct InvoiceRef {
    external_ref: Option<String>,
    /// Present where the invoice is to be made if it is not known.
    known_by: Option<(Uuid, Decimal)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    event_type: String,
    payload: serde_json::Map<String, serde_json::Value>,
    event_id: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
}

// Providers add to payloads what is none of our concern, so these ignore what they do not know.

#[derive(Deserialize)]
struct ActivatedPayload {
    user_id: Option<Uuid>,
    organization_id: Option<Uuid>,
    tenant_id: Uuid,
    plan_code: String,
}

#[derive(Deserialize)]
struct RenewedPayload {
    subscription_id: Uuid,
    current_period_end: DateTime<Utc>,
}

#[derive(Deserialize)]
struct CanceledPayload {
    subscription_id: Uuid,
    /// False where it ended at once.
    at_period_end: Option<bool>,
}

#[derive(Deserialize)]
struct InvoicePayload {
    invoice_ref: Option<String>,
    subscription_id: Option<Uuid>,
    amount_usd: Option<Amount>,
}

impl Webhook {
    /// Reads a body whose signature was checked. What says that it happened after `now` happened now.
    ///
    /// # Errors
    /// 400 naming the field that is wrong.
    pub fn parse(raw_body: &[u8], now: DateTime<Utc>) -> Result<Self> {
        let body: Body = parse_json(raw_body)?;
        let mut checks = Checks::new();
        if let Some(event_id) = &body.event_id {
            checks.text("eventId", event_id, 1, 255);
        }
        checks.finish()?;
        let key = match body.event_id {
            Some(event_id) => format!("id:{event_id}"),
            None => format!("sha256:{}", hex::encode(Sha256::digest(raw_body))),
        };
        let event = Event::parse(&body.event_type, &body.payload)?;
        Ok(Self { key, occurred_at: body.occurred_at.map_or(now, |at| at.min(now)), event })
    }
}

impl Event {
    fn parse(event_type: &str, payload: &serde_json::Map<String, serde_json::Value>) -> Result<Self> {
        match event_type {
            "subscription.activated" => {
                let payload: ActivatedPayload = read(payload)?;
                Ok(Self::Activated(Activation {
                    tenant_id: payload.tenant_id,
                    holder: Holder::one_of("payload.user_id", payload.user_id, payload.organization_id)?,
                    plan_code: payload.plan_code,
                    standing: Standing::Active,
                }))
            }
            "subscription.renewed" => {
                let RenewedPayload { subscription_id, current_period_end } = read(payload)?;
                Ok(Self::Renewed { subscription_id, period_end: current_period_end })
            }
            "subscription.canceled" => {
                let CanceledPayload { subscription_id, at_period_end } = read(payload)?;
                Ok(Self::Canceled { subscription_id, at_period_end: at_period_end.unwrap_or(true) })
            }
            "invoice.paid" => InvoiceRef::parse(read(payload)?).map(Self::Paid),
            "invoice.payment_failed" => InvoiceRef::parse(read(payload)?).map(Self::PaymentFailed),
            _ => Err(Error::invalid(
                "eventType",
                "must be subscription.activated, subscription.renewed, subscription.canceled, invoice.paid or \
                 invoice.payment_failed",
            )),
        }
    }
}

impl InvoiceRef {
    fn parse(payload: InvoicePayload) -> Result<Self> {
        let mut checks = Checks::new();
        if let Some(external_ref) = &payload.invoice_ref {
            checks.text("payload.invoice_ref", external_ref, 1, 255);
        }
        let amount = payload.amount_usd.and_then(|a| checks.ok(plans::parse_usd("payload.amount_usd", &a.0)));
        checks.finish()?;
        let known_by = payload.subscription_id.zip(amount);
        if payload.invoice_ref.is_none() && known_by.is_none() {
            let missing = if payload.subscription_id.is_some() { "payload.amount_usd" } else { "payload.invoice_ref" };
            return Err(Error::invalid(missing, "give either invoice_ref or subscription_id and amount_usd"));
        }
        Ok(Self { external_ref: payload.invoice_ref, known_by })
    }
}

fn read<T: DeserializeOwned>(payload: &serde_json::Map<String, serde_json::Value>) -> Result<T> {
    let text = serde_json::to_vec(payload).map_err(Error::internal)?;
    parse_json(&text).map_err(|error| {
        let inside = |field: &FieldError| FieldError {
            field: format!("payload.{}", field.field),
            message: field.message.clone(),
        };
        Error::invalid_fields(error.fields().iter().map(inside).collect())
    })
}

/// Applies `webhook`, unless it was applied before. One that fails is not remembered, so that it can be sent again.
///
/// # Errors
/// 404 where what it names is not known; 409 where it would bring back a subscription beside a live one; 503 where the
/// database or the auth service is away.
pub async fn apply(db: &Db, directory: &Directory, context: &Context, webhook: &Webhook) -> Result<()> {
    if let Event::Activated(activation) = &webhook.event {
        activation.holder.check(directory, activation.tenant_id, context.now).await?;
    }
    // A provider does not say whose tenant its references belong to.
    let mut tx = db.begin_system().await?;
    let first = sqlx::query!(
        "insert into webhook_events (key, received_at) values ($1, $2)
         on conflict on constraint webhook_events_pkey do nothing",
        webhook.key,
        context.now,
    )
    .execute(&mut *tx)
    .await?;
    if first.rows_affected() == 0 {
        return Ok(());
    }
    let at = webhook.occurred_at;
    match &webhook.event {
        Event::Activated(activation) => activation::hear(&mut tx, context, activation, at).await?,
        Event::Renewed { subscription_id, period_end } => {
            renew(&mut tx, context, *subscription_id, *period_end, at).await?;
        }
        Event::Canceled { subscription_id, at_period_end } => {
            let mut subscription = get_locked(&mut tx, *subscription_id).await?;
            subscription.state.hear(News::Canceled { at_period_end: *at_period_end }, at);
            subscription.record(&mut tx, context).await?;
        }
        Event::Paid(invoice) => {
            let (mut subscription, invoice_id) = get_invoice(&mut tx, context, invoice).await?;
            invoices::pay(&mut tx, context, &subscription, invoice_id, at).await?;
            subscription.state.hear(News::Paid, at);
            subscription.record(&mut tx, context).await?;
        }
        Event::PaymentFailed(invoice) => {
            let (mut subscription, _) = get_invoice(&mut tx, context, invoice).await?;
            subscription.state.hear(News::PaymentFailed, at);
            subscription.record(&mut tx, context).await?;
        }
    }
    tx.commit().await
}

async fn renew(
    tx: &mut Tx,
    context: &Context,
    subscription_id: Uuid,
    period_end: DateTime<Utc>,
    at: DateTime<Utc>,
) -> Result<()> {
    let mut subscription = get_locked(tx, subscription_id).await?;
    let before = subscription.state;
    subscription.state.hear(News::Renewed { period_end }, at);
    let extended = subscription.state.period_end != before.period_end;
    if extended {
        subscription.period_start = at;
    }
    subscription.record(tx, context).await?;
    if extended && subscription.recorded.is_live() {
        subscription.publish_renewed(tx, context).await?;
        subscription.bill(tx, context).await?;
    }
    Ok(())
}

async fn get_locked(tx: &mut Tx, subscription_id: Uuid) -> Result<Subscription> {
    subscriptions::find_locked(tx, subscription_id).await?.or_not_found("subscription")
}

/// The invoice that is meant with its subscription, issued now where the provider tells of one that we do not know.
async fn get_invoice(tx: &mut Tx, context: &Context, meant: &InvoiceRef) -> Result<(Subscription, Uuid)> {
    if let Some(external_ref) = &meant.external_ref
        && let Some((invoice_id, subscription_id)) = invoices::find(tx, external_ref).await?
    {
        return Ok((get_locked(tx, subscription_id).await?, invoice_id));
    }
    let (subscription_id, amount_usd) = meant.known_by.or_not_found("invoice")?;
    let subscription = get_locked(tx, subscription_id).await?;
    let external_ref = meant.external_ref.as_deref();
    let invoice_id = match invoices::find_open(tx, subscription_id, amount_usd).await? {
        Some(invoice_id) if external_ref.is_none() => invoice_id,
        _ => invoices::issue(tx, context, &subscription, amount_usd, external_ref).await?,
    };
    Ok((subscription, invoice_id))
}

/// Forgets webhooks that nobody will repeat any more.
///
/// # Errors
/// 503 where the database is away.
pub async fn sweep(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let delete = || {
        sqlx::query!(
            "delete from webhook_events where ctid = any(array(
                 select ctid from webhook_events where received_at < $1
                 order by received_at limit $2 for update skip locked))",
            now - RETENTION,
            sweep::BATCH,
        )
    };
    sweep::all(db, delete).await
}
