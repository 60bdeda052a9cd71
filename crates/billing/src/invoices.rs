//! Invoices: what a subscription owes and what was paid. Whoever changes one holds the lock of its subscription's row.

use careeros_shared::{
    Result,
    context::Context,
    db::Tx,
    error::{Error, OnConstraint},
    events::InvoicePaid,
    id, outbox,
};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{plans::cents, subscriptions::Subscription};

/// Issues an invoice of `amount_usd`; its reference is made up where the payment provider has none.
///
/// # Errors
/// 409 where an invoice has the reference; 503 where the database is away.
pub async fn issue(
    tx: &mut Tx,
    context: &Context,
    subscription: &Subscription,
    amount_usd: Decimal,
    external_ref: Option<&str>,
) -> Result<Uuid> {
    let invoice_id = id::new(context.now);
    let made_up = format!("inv_{}", invoice_id.simple());
    sqlx::query!(
        "insert into invoices (id, tenant_id, subscription_id, amount_usd, status, issued_at, external_invoice_ref)
         values ($1, $2, $3, $4, 'OPEN', $5, $6)",
        invoice_id,
        subscription.tenant_id,
        subscription.id,
        amount_usd,
        context.now,
        external_ref.unwrap_or(&made_up),
    )
    .execute(&mut **tx)
    .await
    .on_constraint("invoices_external_invoice_ref_key", || {
        Error::conflict("invoice_in_use", "another webhook names this invoice at the same time; send it again")
    })?;
    Ok(invoice_id)
}

/// The invoice that the payment provider calls `external_ref`, with its subscription.
///
/// # Errors
/// 503 where the database is away.
pub async fn find(tx: &mut Tx, external_ref: &str) -> Result<Option<(Uuid, Uuid)>> {
    let found = sqlx::query!("select id, subscription_id from invoices where external_invoice_ref = $1", external_ref)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(found.map(|invoice| (invoice.id, invoice.subscription_id)))
}

/// The oldest open invoice of a subscription over `amount_usd`: the one that a payment without a reference is for.
///
/// # Errors
/// 503 where the database is away.
pub async fn find_open(tx: &mut Tx, subscription_id: Uuid, amount_usd: Decimal) -> Result<Option<Uuid>> {
    let found = sqlx::query_scalar!(
        "select id from invoices where subscription_id = $1 and amount_usd = $2 and status = 'OPEN'
         order by issued_at, id limit 1",
        subscription_id,
        amount_usd,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found)
}

/// Marks an invoice as paid at `paid_at` and publishes it, once.
///
/// # Errors
/// 503 where the database is away.
pub async fn pay(
    tx: &mut Tx,
    context: &Context,
    subscription: &Subscription,
    invoice_id: Uuid,
    paid_at: DateTime<Utc>,
) -> Result<()> {
    let amount_usd = sqlx::query_scalar!(
        "update invoices set status = 'PAID', paid_at = $2 where id = $1 and status = 'OPEN' returning amount_usd",
        invoice_id,
        paid_at,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(amount_usd) = amount_usd else { return Ok(()) };
    let event = InvoicePaid { invoice_id, subscription_id: subscription.id, amount_usd: cents(amount_usd), paid_at };
    outbox::publish(tx, context, subscription.about(), &event).await
}
