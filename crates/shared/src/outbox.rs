//! The outbox: events are written in the transaction of the change that they tell of. The relay publishes them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    context::Context,
    db::{Db, Tx},
    error::{Error, Result},
    events::{Envelope, Event},
    id, metrics,
};

/// How often the outbox is measured.
const MEASURED: Duration = Duration::from_secs(10);

/// Whose event it is.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The tenant that it belongs to.
    pub tenant_id: Uuid,
    /// The user that it is about.
    pub user_id: Option<Uuid>,
}

impl From<crate::directory::Subject> for About {
    fn from(subject: crate::directory::Subject) -> Self {
        Self { tenant_id: subject.tenant_id, user_id: Some(subject.user_id) }
    }
}

/// Writes `event`, which happened at `context.now`, into the outbox.
///
/// Per key, the order on the topic is the order in which transactions got here. Take the aggregate's row lock (an update of
/// its row, or `select … for update`) before the first event of a key, so that this is the order of the commits.
///
/// # Errors
/// 503 where the database is away.
pub async fn publish<E: Event>(tx: &mut Tx, context: &Context, about: impl Into<About>, event: &E) -> Result<()> {
    let row = Row::new(context, about, event)?;
    sqlx::query(
        "insert into outbox (event_id, topic, key, headers, value, created_at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(row.event_id)
    .bind(row.topic)
    .bind(row.key)
    .bind(row.headers)
    .bind(row.value)
    .bind(row.created_at)
    .execute(&mut **tx)
    .await?;
    tx.publishes();
    Ok(())
}

/// Writes many events into the outbox at once, in the order given; what [`publish`] says of the order per key holds.
///
/// # Errors
/// 503 where the database is away.
pub async fn publish_all(tx: &mut Tx, rows: impl IntoIterator<Item = Row>) -> Result<()> {
    let columns: Columns = rows.into_iter().collect();
    if columns.event_ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into outbox (event_id, topic, key, headers, value, created_at)
         select event_id, topic, key, headers, value, created_at
         from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::timestamptz[])
             with ordinality as r(event_id, topic, key, headers, value, created_at, position)
         order by position",
    )
    .bind(columns.event_ids)
    .bind(columns.topics)
    .bind(columns.keys)
    .bind(columns.headers)
    .bind(columns.values)
    .bind(columns.created_at)
    .execute(&mut **tx)
    .await?;
    tx.publishes();
    Ok(())
}

/// An event as a row of the outbox, for a statement that writes it together with its cause. Whoever runs such a statement
/// has to call [`crate::db::Db::wake_relay`] once it is committed.
#[derive(Debug, Clone)]
pub struct Row {
    /// The event's id.
    pub event_id: Uuid,
    /// Where it goes.
    pub topic: &'static str,
    /// The aggregate whose events keep their order.
    pub key: String,
    /// The record's headers.
    pub headers: serde_json::Value,
    /// The envelope as JSON.
    pub value: String,
    /// When it happened.
    pub created_at: DateTime<Utc>,
}

impl Row {
    /// `event`, which happens at `context.now`.
    ///
    /// # Errors
    /// 500 for an event without a key.
    pub fn new<E: Event>(context: &Context, about: impl Into<About>, event: &E) -> Result<Self> {
        let about = about.into();
        let user_id = about.user_id.map(|id| id.to_string());
        let key = event.key().or_else(|| user_id.clone());
        let key = key.ok_or_else(|| Error::internal(anyhow::anyhow!("{} has no key", E::TYPE)))?;
        let envelope = Envelope {
            event_id: id::new(context.now),
            event_type: E::TYPE.to_owned(),
            event_version: 1,
            occurred_at: context.now,
            source: E::SOURCE.to_owned(),
            correlation_id: Some(context.correlation.id.clone()),
            request_id: None,
            tenant_id: about.tenant_id.to_string(),
            user_id,
            payload: event,
        };
        let headers = json!({
            "event_type": E::TYPE,
            "event_version": "1",
            "correlation_id": context.correlation.id,
            "traceparent": context.correlation.traceparent,
        });
        let value = serde_json::to_string(&envelope).map_err(Error::internal)?;
        Ok(Self { event_id: envelope.event_id, topic: E::TOPIC, key, headers, value, created_at: context.now })
    }
}

/// Rows by column, for statements that take them from arrays.
#[derive(Debug, Default)]
pub struct Columns {
    /// The events' ids.
    pub event_ids: Vec<Uuid>,
    /// Where they go.
    pub topics: Vec<String>,
    /// Their keys.
    pub keys: Vec<String>,
    /// Their headers.
    pub headers: Vec<serde_json::Value>,
    /// The envelopes.
    pub values: Vec<String>,
    /// When they happened.
    pub created_at: Vec<DateTime<Utc>>,
}

impl FromIterator<Row> for Columns {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.event_ids.push(row.event_id);
            columns.topics.push(row.topic.to_owned());
            columns.keys.push(row.key);
            columns.headers.push(row.headers);
            columns.values.push(row.value);
            columns.created_at.push(row.created_at);
        }
        columns
    }
}

/// What waits in an outbox.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct Backlog {
    /// Events that are not on their topics yet.
    pub waiting: i64,
    /// The age of the oldest of them in seconds, 0 where there is none.
    pub oldest_age: f64,
    /// Events that the broker has refused for good.
    pub parked: i64,
}

/// What waits in `db`'s outbox.
///
/// # Errors
/// 503 where the database is away.
pub async fn backlog(db: &Db) -> Result<Backlog> {
    let backlog = sqlx::query_as(
        "select count(*) filter (where parked_at is null) as waiting,
                greatest(coalesce(extract(epoch from now() - min(created_at) filter (where parked_at is null)), 0), 0)
                    ::float8 as oldest_age,
                count(parked_at) as parked
         from outbox",
    );
    Ok(backlog.fetch_one(db).await?)
}

/// Measures the outbox and the pool of `service` for their metrics, for ever.
pub(crate) async fn watch(db: Db, service: &'static str) {
    loop {
        metrics::pool(service, db.upkeep());
        match backlog(&db).await {
            Ok(backlog) => metrics::outbox(service, backlog),
            Err(error) => tracing::debug!(error = %error, "the outbox is not measured while the database is away"),
        }
        tokio::time::sleep(MEASURED).await;
    }
}
