//! The reference of `/analytics`.

use serde_json::json;

use crate::api::Doc;

pub(super) const ABOUT: &str = "A tenant's key figures, for its ADMIN.";

pub(super) fn get_kpi() -> Doc {
    Doc::new("Read a tenant's key figures")
        .about(
            "For an ADMIN of that tenant, or an OPERATOR. As of now, in the tenant's time zone; a moment behind what \
             happened.\n\n`churn_risk_score` is the mean of two shares: of the users active in 30 days, those not seen in the \
             last 7; of the subscriptions live or canceled in 30 days, those canceled.",
        )
        .answer(json!({
            "dau": 1, "wau": 1, "churn_risk_score": 0.0, "mrr_usd": 29.0, "mau": 1, "ai_cost_usd": 0.0, "ai_runs": 9
        }))
}
