//! Where PostgreSQL's time goes, by `pg_stat_statements`.

use anyhow::{Context as _, Result};
use careeros_fleet::ui;
use sqlx::PgConnection;

/// Statements shown at the most.
const SHOWN: i64 = 16;
/// Characters of a statement shown at the most.
const WIDTH: usize = 90;

#[derive(sqlx::FromRow)]
struct Row {
    query: String,
    calls: i64,
    rows: i64,
    milliseconds: f64,
}

/// Begins to count in a database.
pub(crate) async fn reset(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("create extension if not exists pg_stat_statements")
        .execute(&mut *connection)
        .await
        .context("statements cannot be counted: install PostgreSQL's contrib modules or leave --statements out")?;
    sqlx::query("select pg_stat_statements_reset()").execute(connection).await?;
    Ok(())
}

/// Shows which statements of the database took the most time since [`reset`], as part of `what` with so many `events`.
pub(crate) async fn show(connection: &mut PgConnection, what: &str, events: u64) -> Result<()> {
    let rows: Vec<Row> = sqlx::query_as(
        "select regexp_replace(query, '\\s+', ' ', 'g') as query, calls, rows, total_exec_time as milliseconds
         from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
         order by total_exec_time desc limit $1",
    )
    .bind(SHOWN)
    .fetch_all(connection)
    .await?;
    ui::say(format_args!("\n{what}, {events} events: statements\n  {:>10} {:>9} {:>9}", "total ms", "calls", "rows"));
    for Row { query, calls, rows, milliseconds } in rows {
        let query: String = query.chars().take(WIDTH).collect();
        ui::say(format_args!("  {milliseconds:>10.0} {calls:>9} {rows:>9}  {query}"));
    }
    Ok(())
}
