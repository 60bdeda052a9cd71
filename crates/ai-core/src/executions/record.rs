//! What is stored of an execution.

use std::sync::Arc;

use careeros_shared::{
    Result,
    db::Db,
    directory::Subject,
    outbox::{Columns, Row},
};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

/// Conversation, output, usage and events of an execution.
#[derive(Debug, Clone)]
pub struct Record {
    pub(super) subject: Subject,
    pub(super) created_at: DateTime<Utc>,
    /// Of output and usage.
    pub(super) id: Uuid,
    pub(super) conversation_id: Uuid,
    pub(super) execution_id: Uuid,
    pub(super) flow_name: String,
    pub(super) flow_version: String,
    pub(super) output: String,
    pub(super) status: &'static str,
    pub(super) confidence: f64,
    /// A list of texts.
    pub(super) warnings: Value,
    pub(super) model: String,
    pub(super) prompt_tokens: i64,
    pub(super) completion_tokens: i64,
    pub(super) cost: Decimal,
    pub(super) latency_ms: i64,
    pub(super) events: Vec<Row>,
}

/// Stores `records` in one transaction.
///
/// # Errors
/// 503 where the database is away; nothing is stored then.
pub async fn create_all(db: Db, records: Arc<[Record]>) -> Result<Vec<()>> {
    insert(&db, &records).await?;
    Ok(vec![(); records.len()])
}

/// Stores `records`. Executions of one user are facts that do not depend on each other, so there is no row to lock before
/// the events are written.
pub(super) async fn insert(executor: impl PgExecutor<'_>, records: &[Record]) -> Result<()> {
    let (tenant_ids, user_ids) = Subject::columns(records.iter().map(|record| record.subject));
    let events: Columns = records.iter().flat_map(|record| record.events.iter().cloned()).collect();
    sqlx::query_file!(
        "src/executions/insert.sql",
        &tenant_ids,
        &user_ids,
        &records.iter().map(|record| record.created_at).collect::<Vec<_>>(),
        &records.iter().map(|record| record.id).collect::<Vec<_>>(),
        &records.iter().map(|record| record.conversation_id).collect::<Vec<_>>(),
        &records.iter().map(|record| record.execution_id).collect::<Vec<_>>(),
        &records.iter().map(|record| record.flow_name.clone()).collect::<Vec<_>>(),
        &records.iter().map(|record| record.flow_version.clone()).collect::<Vec<_>>(),
        &records.iter().map(|record| record.output.clone()).collect::<Vec<_>>(),
        &records.iter().map(|record| record.status.to_owned()).collect::<Vec<_>>(),
        &records.iter().map(|record| record.confidence).collect::<Vec<_>>(),
        &records.iter().map(|record| record.warnings.clone()).collect::<Vec<_>>(),
        &records.iter().map(|record| record.model.clone()).collect::<Vec<_>>(),
        &records.iter().map(|record| record.prompt_tokens).collect::<Vec<_>>(),
        &records.iter().map(|record| record.completion_tokens).collect::<Vec<_>>(),
        &records.iter().map(|record| record.cost).collect::<Vec<_>>(),
        &records.iter().map(|record| record.latency_ms).collect::<Vec<_>>(),
        &events.event_ids,
        &events.topics,
        &events.keys,
        &events.headers,
        &events.values,
        &events.created_at,
    )
    .execute(executor)
    .await?;
    Ok(())
}
