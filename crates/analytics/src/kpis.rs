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

/// A tenant with no more users active in 30 days has its KPIs counted for every answer: some milliseconds.
const COUNTED: i64 = 1000;

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
/// They are counted as they stand, which takes as long as the tenant has active users; a tenant with more than [`COUNTED`] of
/// them is answered with what [`crate::daily`] has counted last, some seconds ago.
///
/// # Errors
/// 503 where the database is away.
pub async fn get(db: &Db, tenant_id: Uuid, now: DateTime<Utc>) -> Result<GetKpiSnapshotResponse> {
    let kpis = sqlx::query_as!(
        GetKpiSnapshotResponse,
        r#"select k.dau as "dau!", k.wau as "wau!", k.mau as "mau!", k.mrr_usd::float8 as "mrr_usd!",
                  k.churn_risk_score::float8 as "churn_risk_score!", k.ai_runs as "ai_runs!",
                  k.ai_cost_usd::float8 as "ai_cost_usd!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (select local_day(scope.tenant_id, $2) as day offset 0) today
           left join lateral (
               select * from kpi_now n
               where n.tenant_id = scope.tenant_id and n.day = today.day and n.mau > $3
               offset 0
           ) counted on true
           cross join lateral (
               select counted.dau, counted.wau, counted.mau, counted.mrr_usd, counted.churn_risk_score, counted.ai_runs,
                      counted.ai_cost_usd
               where counted.tenant_id is not null
               union all
               select kpi.dau, kpi.wau, kpi.mau, kpi.mrr_usd, kpi.churn_risk_score, ai.runs, ai.cost_usd
               from kpi_on(scope.tenant_id, today.day) kpi
               cross join lateral (
                   select coalesce(sum(total_runs), 0)::bigint as runs, coalesce(sum(total_cost_usd), 0) as cost_usd
                   from ai_usage_analytics
                   where tenant_id = scope.tenant_id
               ) ai
               where counted.tenant_id is null
           ) k"#,
        tenant_id,
        now,
        COUNTED,
    )
    .fetch_one(db)
    .await?;
    Ok(kpis)
}
