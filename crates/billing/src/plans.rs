//! Plans: what can be bought, for how much, and what is included. They are the same for all tenants.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::{Error, OrNotFound},
    events::PlanChanged,
    id, idempotency,
    outbox::{self, About},
    proto::{billing::UpsertPlanRequest, common::Ack},
    validate::Checks,
};
use chrono::{DateTime, Months, Utc};
use rust_decimal::Decimal;
use sqlx::types::Json;
use uuid::Uuid;

use crate::grpc::OK;

/// The plan of everybody who has no other.
pub const FREE_PLAN: &str = "FREEMIUM";
/// The feature that stands for all.
pub const EVERYTHING: &str = "*";
/// The tenant in the envelope of events that are about no tenant.
const NO_TENANT: About = About { tenant_id: Uuid::nil(), user_id: None };

/// The highest price in USD.
const PRICE_MAX: u32 = 1_000_000;
const FEATURES_MAX: usize = 100;
const FEATURE_LENGTH_MAX: usize = 128;

/// How often a plan is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Interval {
    /// Every calendar month.
    Month,
    /// Every year.
    Year,
}

impl Interval {
    /// As in tables and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }

    /// The interval written `text`; clients also write `MONTHLY` and `YEARLY`, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "MONTH" | "MONTHLY" => Some(Self::Month),
            "YEAR" | "YEARLY" => Some(Self::Year),
            _ => None,
        }
    }

    fn months(self) -> u32 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }
}

/// What a subscription needs to know of its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The plan's row.
    pub id: Uuid,
    /// Its name in requests and events, e.g. `PREMIUM`.
    pub code: String,
    /// How often it is paid.
    pub billing_interval: Interval,
    /// What it costs each time.
    pub price_usd: Decimal,
}

impl Plan {
    /// The end of a period that begins at `start`. A period that would end on a day that its month does not have ends on
    /// the month's last.
    pub fn period_end(&self, start: DateTime<Utc>) -> DateTime<Utc> {
        start.checked_add_months(Months::new(self.billing_interval.months())).unwrap_or(start)
    }

    /// What it brings in a month, in USD with two decimals.
    pub fn mrr_usd(&self) -> Decimal {
        cents((self.price_usd / Decimal::from(self.billing_interval.months())).round_dp(2))
    }
}

/// The plan `code`.
///
/// # Errors
/// 404 where there is none; 503 where the database is away.
pub async fn get(tx: &mut Tx, code: &str) -> Result<Plan> {
    let found = sqlx::query_as!(
        Plan,
        r#"select id, code, billing_interval as "billing_interval: Interval", price_usd from plans where code = $1"#,
        code,
    )
    .fetch_optional(&mut **tx)
    .await?;
    found.or_not_found("plan")
}

/// Creates a plan or changes the one that has its code; what the request leaves out keeps its value.
///
/// # Errors
/// 400 naming each wrong field; 503 where the database is away.
pub async fn upsert(db: &Db, context: &Context, request: &UpsertPlanRequest) -> Result<Ack> {
    let (interval, price_usd) = check(request)?;
    idempotency::run(db, context, "billing.plans", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin_system().await?;
        // Nothing is returned where the plan is already as requested.
        let changed = sqlx::query_scalar!(
            "insert into plans as p (id, code, name, billing_interval, price_usd, features_json, ai_quota_monthly,
                                     created_at, updated_at, announced_at)
             values ($1, $2, $3, $4, $5, coalesce($6, '[]'::jsonb), $7, $8, $8, $8)
             on conflict on constraint plans_code_key do update
             set name = $3, billing_interval = $4, price_usd = $5, features_json = coalesce($6, p.features_json),
                 ai_quota_monthly = coalesce($7, p.ai_quota_monthly), updated_at = $8, announced_at = $8
             where (p.name, p.billing_interval, p.price_usd, p.features_json, p.ai_quota_monthly) is distinct from
                   ($3, $4, $5, coalesce($6, p.features_json), coalesce($7, p.ai_quota_monthly))
             returning code",
            id::new(context.now),
            request.code,
            request.name,
            interval.as_str(),
            price_usd,
            request.features.as_ref().map(|features| Json(&features.keys)) as Option<Json<&Vec<String>>>,
            request.ai_quota_monthly,
            context.now,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(plan_code) = changed {
            publish(&mut tx, context, plan_code, price_usd, interval, context.now).await?;
        }
        claim.complete(&mut tx, &OK).await?;
        tx.commit().await?;
        Ok(OK)
    })
    .await
}

/// Publishes the plans that the migrations brought and nobody has heard of. Of two services that start at once one waits
/// for the other's row locks and finds nothing left to do.
///
/// # Errors
/// 503 where the database is away.
pub async fn announce(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let mut tx = db.begin_system().await?;
    let unannounced = sqlx::query!(
        r#"update plans set announced_at = $1 where announced_at is null
           returning code, price_usd, billing_interval as "billing_interval: Interval", updated_at"#,
        now,
    )
    .fetch_all(&mut *tx)
    .await?;
    let context = Context::internal(now);
    for plan in unannounced {
        publish(&mut tx, &context, plan.code, plan.price_usd, plan.billing_interval, plan.updated_at).await?;
    }
    tx.commit().await
}

async fn publish(
    tx: &mut Tx,
    context: &Context,
    plan_code: String,
    price_usd: Decimal,
    interval: Interval,
    effective_at: DateTime<Utc>,
) -> Result<()> {
    let price_usd = cents(price_usd);
    let event = PlanChanged { plan_code, price_usd, billing_interval: interval.as_str().to_owned(), effective_at };
    outbox::publish(tx, context, NO_TENANT, &event).await
}

fn check(request: &UpsertPlanRequest) -> Result<(Interval, Decimal)> {
    let mut checks = Checks::new();
    checks.check("code", is_code(&request.code), "must be 1 to 64 of A-Z, 0-9 and _, beginning with a letter");
    checks.text("name", &request.name, 1, 255);
    let interval = Interval::parse(&request.billing_interval);
    checks.check("billingInterval", interval.is_some(), "must be MONTH or YEAR");
    let price_usd = checks.ok(parse_usd("priceUsd", &request.price_usd));
    let features = request.features.as_ref().map(|features| features.keys.as_slice()).unwrap_or_default();
    checks.check("features", features.len() <= FEATURES_MAX, "must be 100 or fewer");
    for (index, key) in features.iter().enumerate() {
        checks.text(&format!("features[{index}]"), key, 1, FEATURE_LENGTH_MAX);
    }
    checks.check("aiQuotaMonthly", request.ai_quota_monthly.is_none_or(|quota| quota >= 0), "must be 0 or more");
    checks.finish()?;
    interval.zip(price_usd).ok_or_else(|| Error::invalid("billingInterval", "must be MONTH or YEAR"))
}

fn is_code(code: &str) -> bool {
    code.len() <= 64
        && code.starts_with(|c: char| c.is_ascii_uppercase())
        && code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// An amount of USD from 0 to 1,000,000 with at most two decimals out of the input field `field`.
///
/// # Errors
/// 400 naming the field where it is not one.
pub fn parse_usd(field: &str, text: &str) -> Result<Decimal> {
    let amount = Decimal::from_str_exact(text).ok().map(|amount| amount.normalize());
    let amount = amount.filter(|a| a.scale() <= 2 && (Decimal::ZERO..=Decimal::from(PRICE_MAX)).contains(a));
    amount.map(cents).ok_or_else(|| Error::invalid(field, "must be from 0 to 1000000 with at most two decimals"))
}

/// The amount written with two decimals; zero comes out of the database with none.
pub fn cents(mut amount: Decimal) -> Decimal {
    amount.rescale(2);
    amount
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::dec;

    use super::*;

    fn plan(billing_interval: Interval, price_usd: Decimal) -> Plan {
        Plan { id: Uuid::nil(), code: "P".into(), billing_interval, price_usd }
    }

    #[test]
    fn a_year_is_worth_a_twelfth_each_month() {
        assert_eq!(plan(Interval::Month, dec!(29)).mrr_usd().to_string(), "29.00");
        assert_eq!(plan(Interval::Year, dec!(290)).mrr_usd().to_string(), "24.17");
        assert_eq!(plan(Interval::Year, dec!(0)).mrr_usd().to_string(), "0.00");
    }

    #[test]
    fn a_period_ends_on_a_day_that_exists() {
        let start: DateTime<Utc> = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(plan(Interval::Month, dec!(1)).period_end(start).to_rfc3339(), "2026-02-28T12:00:00+00:00");
        assert_eq!(plan(Interval::Year, dec!(1)).period_end(start).to_rfc3339(), "2027-01-31T12:00:00+00:00");
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        assert_eq!(parse_usd("priceUsd", "29.9").unwrap().to_string(), "29.90");
        assert_eq!(parse_usd("priceUsd", "1.500").unwrap().to_string(), "1.50");
        for text in ["", "-1", "1.005", "1000000.01", "1e3", "NaN", "29,90", " 1"] {
            assert_eq!(parse_usd("priceUsd", text).unwrap_err().fields()[0].field, "priceUsd", "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_of_cents_survives_the_wire(cents in 0..=100_000_000_i64) {
            let amount = Decimal::new(cents, 2);
            prop_assert_eq!(parse_usd("priceUsd", &amount.to_string()).unwrap(), amount);
        }
    }
}
