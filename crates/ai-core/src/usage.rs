//! Usage: what a user's executions have cost so far.

use careeros_shared::{Result, db::Db, directory::Subject, proto::aicore::GetFlowUsageResponse};

/// The subject's executions, tokens and cost in dollars.
///
/// # Errors
/// 503 where the database is away.
pub async fn get(db: &Db, subject: Subject) -> Result<GetFlowUsageResponse> {
    let usage = sqlx::query_as!(
        GetFlowUsageResponse,
        r#"select u.requests_count as "requests_count!", u.prompt_tokens as "prompt_tokens!",
                  u.completion_tokens as "completion_tokens!", u.total_cost_usd as "total_cost_usd!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select count(*) as requests_count,
                      coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
                      coalesce(sum(completion_tokens), 0)::bigint as completion_tokens,
                      coalesce(sum(total_cost_usd), 0)::float8 as total_cost_usd
               from token_usage
               where tenant_id = scope.tenant_id and user_id = $2
               offset 0
           ) u"#,
        subject.tenant_id,
        subject.user_id,
    )
    .fetch_one(db)
    .await?;
    Ok(usage)
}
