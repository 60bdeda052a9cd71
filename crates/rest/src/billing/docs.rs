//! The reference of `/billing`.

use careeros_shared::error::Kind;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::api::{
    Doc,
    samples::{SUBSCRIPTION, TENANT, USER},
};

pub(super) const ABOUT: &str = "Plans, subscriptions, and the payment provider's webhooks.";

const ALREADY_ACTIVE: &str = "this user or organisation has a live subscription already";

/// What the payment provider tells.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the service reads the signed bytes; this is what the reference says of them")]
struct Webhook {
    event_type: WebhookEvent,
    /// Fields that the event's kind does not have are ignored.
    #[schema(value_type = Object)]
    payload: Map<String, Value>,
    /// An event is applied once. Without it, the same body is.
    #[schema(min_length = 1, max_length = 255)]
    event_id: Option<String>,
    /// Now where it is not sent; older news never undoes newer.
    #[schema(format = DateTime)]
    occurred_at: Option<String>,
}

/// What happened.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the service reads the signed bytes; this is what the reference says of them")]
enum WebhookEvent {
    #[serde(rename = "subscription.activated")]
    Activated,
    #[serde(rename = "subscription.renewed")]
    Renewed,
    #[serde(rename = "subscription.canceled")]
    Canceled,
    #[serde(rename = "invoice.paid")]
    Paid,
    #[serde(rename = "invoice.payment_failed")]
    PaymentFailed,
}

pub(super) fn get_subscription() -> Doc {
    Doc::new("Read a user's subscription")
        .about(
            "The subscription that the user draws on, the own one before an organisation's of the tenant. `renew_at` is the \
             end of the period; for a subscription that was canceled it is empty and `ends_at` says when it ends. Without a \
             live one `plan_code` is `FREE`, and the user is entitled to what FREEMIUM includes.\n\n\
             `/billing/subscriptions/{userId}` is the same.",
        )
        .answer(json!({
            "plan_code": "PREMIUM", "status": "ACTIVE", "renew_at": "2026-12-23T06:48:58.999064Z", "ends_at": ""
        }))
}

pub(super) fn upsert_plan() -> Doc {
    Doc::new("Make or change a plan")
        .about("For OPERATORs. A code that exists is changed; fields that are not sent keep their values.")
        .request(json!({
            "code": "TEAM",
            "name": "Team",
            "billingInterval": "MONTH",
            "priceUsd": "49.90",
            "features": ["ai.flow.execute"],
            "aiQuotaMonthly": 500,
        }))
        .answer(json!({"ok": true}))
        .idempotent()
}

pub(super) fn activate() -> Doc {
    Doc::new("Activate a subscription")
        .about("For OPERATORs; customers' payments come in by webhook.")
        .request(json!({"userId": USER, "tenantId": TENANT, "planCode": "TEAM", "status": "TRIAL"}))
        .answer(json!({"subscription_id": SUBSCRIPTION, "status": "TRIAL"}))
        .idempotent()
        .missing("plan not found")
        .fails(Kind::Conflict, "already_active", ALREADY_ACTIVE)
}

pub(super) fn receive_webhook() -> Doc {
    Doc::new("Receive a payment provider's webhook")
        .about(
            "No token; the header `CareerOS-Signature` signs the raw body. Its `t` may be 300 seconds away from the server's \
             clock; several `v1` may be sent while a secret changes. 200 also for an event that was applied before. Send one \
             that failed again.\n\n\
             | eventType | payload | effect |\n|---|---|---|\n\
             | `subscription.activated` | `user_id` or `organization_id`, `tenant_id`, `plan_code` | begins a subscription, \
             changes the plan of the live one, or withdraws its cancellation |\n\
             | `subscription.renewed` | `subscription_id`, `current_period_end` | extends it |\n\
             | `subscription.canceled` | `subscription_id`, `at_period_end` (true) | ends it with its period, or at once |\n\
             | `invoice.paid` | `invoice_ref`, or `subscription_id` and `amount_usd` | marks the invoice as paid; one that is \
             not known is made where the subscription is given |\n\
             | `invoice.payment_failed` | as above | `PAST_DUE`; the subscription outlives its period by 7 days |",
        )
        .signed::<Webhook>()
        .request(json!({
            "eventType": "subscription.activated",
            "eventId": "evt_1",
            "payload": {"user_id": USER, "tenant_id": TENANT, "plan_code": "PREMIUM"},
        }))
        .answer(json!({"ok": true}))
        .fails(
            Kind::Unauthenticated,
            "unauthenticated",
            "the signature is missing, wrong or too old",
        )
        .missing("plan, user, subscription or invoice not found")
        .fails(Kind::Conflict, "already_active", ALREADY_ACTIVE)
        .fails(
            Kind::Conflict,
            "invoice_in_use",
            "another webhook names this invoice at the same time; send it again",
        )
}
