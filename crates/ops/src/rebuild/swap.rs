//! Puts the rebuilt rows in the place of the live ones, in one transaction.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use careeros_shared::projection::Projection;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::execute;
use crate::output::say;

/// Tries to hold the consumers, each of 5 s.
const TRIES: u32 = 10;
/// Lets others work between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// A table and what the rebuild makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// The table.
    pub table: &'static str,
    /// Its rows before.
    pub before: u64,
    /// Its rows after.
    pub after: u64,
}

/// Holds everything that writes to the tables, in the transaction that has begun. Readers go on.
///
/// The inbox comes first, as it does for consumers: when it is locked, no batch of theirs is under way.
pub(super) async fn lock(session: &mut PgConnection, projection: &Projection) -> Result<()> {
    let tables: Vec<_> = projection.tables.iter().map(|table| format!("public.{table}")).collect();
    let lock = format!(
        "savepoint unlocked; set local lock_timeout = '5s';
         lock table public.inbox in share row exclusive mode;
         lock table {} in share row exclusive mode",
        tables.join(", ")
    );
    for _ in 0..TRIES {
        match sqlx::raw_sql(AssertSqlSafe(lock.as_str())).execute(&mut *session).await {
            Ok(_) => return Ok(()),
            Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("55P03" | "40P01")) => {
                say("Somebody is writing for long; trying again");
                execute(session, "rollback to savepoint unlocked").await?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error).context("the tables cannot be locked"),
        }
    }
    bail!("the tables could not be locked: look for long transactions in pg_stat_activity and try again")
}

/// Replaces tables, adds to queues and to the group's inbox, and runs what comes afterwards.
pub(super) async fn replace(
    session: &mut PgConnection,
    projection: &Projection,
    failed: &[Uuid],
) -> Result<Vec<Replaced>> {
    let mut replaced = Vec::new();
    // Those that reference others first.
    for table in projection.tables.iter().rev() {
        let before = execute(session, &format!("delete from public.{table}")).await?;
        replaced.insert(0, Replaced { table, before, after: 0 });
    }
    for replaced in &mut replaced {
        replaced.after = copy(session, replaced.table).await?;
    }
    for queue in projection.queues {
        copy(session, queue).await?;
    }
    sqlx::query(
        "insert into public.inbox (consumer_group, event_id, applied_at)
         select consumer_group, event_id, applied_at from rebuild.inbox where consumer_group = $1
         on conflict on constraint inbox_pkey do nothing",
    )
    .bind(projection.group)
    .execute(&mut *session)
    .await?;
    // What is no longer contained may be replayed when it can be applied.
    sqlx::query("delete from public.inbox where consumer_group = $1 and event_id = any($2)")
        .bind(projection.group)
        .bind(failed)
        .execute(&mut *session)
        .await?;
    for statement in projection.afterwards {
        execute(session, statement).await?;
    }
    Ok(replaced)
}

/// The rows of each table, live and rebuilt.
pub(super) async fn compare(session: &mut PgConnection, projection: &Projection) -> Result<Vec<Replaced>> {
    let mut compared = Vec::new();
    for table in projection.tables {
        let sql = format!("select (select count(*) from public.{table}), (select count(*) from rebuild.{table})");
        let (before, after): (i64, i64) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut *session).await?;
        let [before, after] = [before, after].map(|rows| u64::try_from(rows).unwrap_or_default());
        compared.push(Replaced { table, before, after });
    }
    Ok(compared)
}

/// Copies the rows of a rebuilt table to the live one.
async fn copy(session: &mut PgConnection, table: &str) -> Result<u64> {
    let (live, rebuilt) = (columns(session, "public", table).await?, columns(session, "rebuild", table).await?);
    let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let (mut sorted, mut sorted_rebuilt) = (names(&live), names(&rebuilt));
    sorted.sort_unstable();
    sorted_rebuilt.sort_unstable();
    if sorted != sorted_rebuilt {
        bail!("{table} has other columns than this version knows: use the careeros-ops of the services' version");
    }
    if live.iter().any(|column| column.identity) {
        bail!("{table} has an identity column, whose sequence a rebuild does not carry over");
    }
    let values: Vec<_> = live.iter().map(|column| column.value.as_str()).collect();
    let (names, values) = (names(&live).join(", "), values.join(", "));
    execute(session, &format!("insert into public.{table} ({names}) select {values} from rebuild.{table}")).await
}

#[derive(Debug, sqlx::FromRow)]
struct Column {
    name: String,
    /// How a value of the rebuilt table is written for the live one.
    value: String,
    identity: bool,
}

/// The columns of a table that are written, as the live table has them in order.
async fn columns(session: &mut PgConnection, schema: &str, table: &str) -> Result<Vec<Column>> {
    let columns: Vec<Column> = sqlx::query_as(
        // Each schema has types of its own, which are the same by their text only.
        "select quote_ident(a.attname) as name,
                case n.nspname when 'pg_catalog' then quote_ident(a.attname)
                else format('%I::text::%I.%I', a.attname, n.nspname, t.typname) end as value,
                a.attidentity <> '' as identity
         from pg_attribute a
         join pg_type t on t.oid = a.atttypid
         join pg_namespace n on n.oid = t.typnamespace
         where a.attrelid = format('%I.%I', $1::text, $2::text)::regclass
           and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
         order by a.attnum",
    )
    .bind(schema)
    .bind(table)
    .fetch_all(session)
    .await
    .with_context(|| format!("there is no table {schema}.{table}"))?;
    Ok(columns)
}
