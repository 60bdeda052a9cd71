//! A tenant's KPIs as they stand now, and who may see them.

use careeros_shared::{
    Error, Result,
    context::Context,
    db::Db,
    id,
    identity::{Caller, Role},
    proto::analytics::GetKpiSnapshotResponse,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The tenant that a request names (the caller's own where it is empty), if the caller may see its KPIs: its ADMIN, an
/// OPERATOR, another service.
///
/// # Errors
/// 400 for an id that is not a UUID; 401 without a token; 403 for anybody else, whether or not there is such a tenant.
pub fn tenant(context: &Context, tenant_id: &str) -> Result<Uuid> {
    let named = if tenant_id.is_empty() { None } else { Some(id::parse("tenantId", tenant_id)?) };
    match context.caller()? {
        Caller::User(user) => {
            user.require_any(&[Role::Admin, Role::Operator])?;
            let tenant_id = named.unwrap_or(user.tenant_id);
            if tenant_id == user.tenant_id || user.is(Role::Operator) {
                Ok(tenant_id)
            } else {
                Err(Error::forbidden("the access token does not allow seeing this tenant"))
            }
        }
        Caller::Service => named.ok_or_else(|| Error::invalid("tenantId", "is required")),
        Caller::Anonymous => Err(Error::unauthenticated("this needs an access token")),
    }
}

/// The tenant's KPIs at `now`; zeros where nothing is known of it.
///
/// # Errors
/// 503 where the database is away.
pub async fn get(db: &Db, tenant_id: Uuid, now: DateTime<Utc>) -> Result<GetKpiSnapshotResponse> {
    let kpis = sqlx::query_as!(
        GetKpiSnapshotResponse,
        r#"select kpi.dau as "dau!", kpi.wau as "wau!", kpi.mau as "mau!", kpi.mrr_usd::float8 as "mrr_usd!",
                  kpi.churn_risk_score::float8 as "churn_risk_score!", ai.runs as "ai_runs!", ai.cost_usd as "ai_cost_usd!"
           from app_scope($1) scope(tenant_id)
           cross join lateral kpi_on(scope.tenant_id, local_day(scope.tenant_id, $2)) kpi
           cross join lateral (
               select coalesce(sum(total_runs), 0)::bigint as runs, coalesce(sum(total_cost_usd), 0)::float8 as cost_usd
               from ai_usage_analytics
               where tenant_id = scope.tenant_id
           ) ai"#,
        tenant_id,
        now,
    )
    .fetch_one(db.pool())
    .await?;
    Ok(kpis)
}
