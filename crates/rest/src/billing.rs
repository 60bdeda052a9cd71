//! `/billing`: plans, subscriptions, and the payment provider's webhooks.

use std::fmt;

use axum::{Json, Router, extract::State, http::HeaderMap};
use careeros_shared::{
    Result,
    context::Context,
    extract::{self, Body, Path, UserContext},
    grpc::Transport,
    http::Created,
    proto::billing::{
        ActivateSubscriptionRequest, ActivateSubscriptionResponse, FeatureList, GetActiveSubscriptionRequest,
        GetActiveSubscriptionResponse, HandleWebhookRequest, UpsertPlanRequest,
        subscription_billing_service_client::SubscriptionBillingServiceClient,
    },
    proto::words,
};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use crate::{
    Done,
    api::{Api, Area, schemas},
};

mod docs;

type Client = SubscriptionBillingServiceClient<Transport>;

/// The header that a webhook is signed in: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">`.
const SIGNATURE: &str = "careeros-signature";

/// The routes with their documentation, answered by the billing service behind `transport`. A user's subscription has
/// two paths, the gateway's and the service's; both places serve both.
pub fn api(transport: Transport) -> Api {
    Area::new("Billing", docs::ABOUT, Client::new(transport))
        .get("/billing/subscription/{user_id}", get_subscription, docs::get_subscription())
        .get("/billing/subscriptions/{user_id}", get_subscription, docs::get_subscription().id("getSubscriptionAlias"))
        .post("/billing/plans", upsert_plan, docs::upsert_plan())
        .post("/billing/subscriptions/activate", activate, docs::activate())
        .post("/billing/webhooks", receive_webhook, docs::receive_webhook())
        .build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

/// An amount of money as JSON has it, a number or a decimal string, kept as text so that it never becomes a float's sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount(pub String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a decimal string")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Amount, E> {
                Ok(Amount(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Amount, E> {
                Ok(Amount(value.to_string()))
            }

            // The shortest text that reads back as the same float is the text that was sent, up to 15 digits.
            fn visit_f64<E>(self, value: f64) -> Result<Amount, E> {
                Ok(Amount(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Amount, E> {
                Ok(Amount(value.to_owned()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// A plan, new or changed; a field left out of a change keeps its value.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpsertPlan {
    #[schema(pattern = "^[A-Z][A-Z0-9_]{0,63}$")]
    code: String,
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    #[schema(value_type = words::BillingInterval)]
    billing_interval: String,
    #[schema(schema_with = schemas::usd::<1_000_000, 0>)]
    price_usd: Amount,
    /// What it includes, `*` for everything; an existing plan keeps its own where it is not sent, a new one has none.
    #[schema(schema_with = schemas::texts::<100, 128>, required = false)]
    features: Option<Vec<String>>,
    /// AI runs a month; an existing plan keeps its own where it is not sent, a new one has no limit.
    #[schema(minimum = 0)]
    ai_quota_monthly: Option<i64>,
}

/// A subscription for a user or for an organisation, exactly one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activate {
    #[schema(format = "uuid")]
    user_id: Option<String>,
    #[schema(format = "uuid")]
    organization_id: Option<String>,
    /// The user's or organisation's.
    #[schema(format = "uuid")]
    tenant_id: String,
    #[schema(min_length = 1, max_length = 64)]
    plan_code: String,
    /// ACTIVE where it is not sent. A trial lasts 14 days, anything else the plan's interval.
    #[schema(value_type = Option<words::SubscriptionStatus>)]
    status: Option<String>,
}

async fn upsert_plan(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<UpsertPlan>,
) -> Result<Json<Done>> {
    let request = UpsertPlanRequest {
        meta: None,
        code: body.code,
        name: body.name,
        billing_interval: body.billing_interval,
        price_usd: body.price_usd.0,
        features: body.features.map(|keys| FeatureList { keys }),
        ai_quota_monthly: body.ai_quota_monthly,
    };
    Ok(Json(client.upsert_plan(context.request(request)).await?.into_inner().into()))
}

async fn activate(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    extract::Json(body): extract::Json<Activate>,
) -> Result<Created<ActivateSubscriptionResponse>> {
    let request = ActivateSubscriptionRequest {
        meta: None,
        user_id: body.user_id,
        organization_id: body.organization_id,
        tenant_id: body.tenant_id,
        plan_code: body.plan_code,
        status: body.status.unwrap_or_default(),
    };
    Ok(Created(client.activate_subscription(context.request(request)).await?.into_inner()))
}

async fn get_subscription(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
) -> Result<Json<GetActiveSubscriptionResponse>> {
    let request = GetActiveSubscriptionRequest { meta: None, user_id };
    Ok(Json(client.get_active_subscription(context.request(request)).await?.into_inner()))
}

/// Passes the body on as it came: what is signed are its bytes.
async fn receive_webhook(
    State(mut client): State<Client>,
    context: Context,
    headers: HeaderMap,
    Body(raw_body): Body,
) -> Result<Json<Done>> {
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let request = HandleWebhookRequest { meta: None, raw_body, signature };
    Ok(Json(client.handle_webhook(context.request(request)).await?.into_inner().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_keeps_the_digits_that_were_sent() {
        for (json, text) in [("29.99", "29.99"), ("0.1", "0.1"), ("0", "0"), ("-3", "-3"), ("\"19.90\"", "19.90")] {
            assert_eq!(serde_json::from_str::<Amount>(json).unwrap(), Amount(text.to_owned()));
        }
        assert!(serde_json::from_str::<Amount>("[1]").is_err());
    }
}
