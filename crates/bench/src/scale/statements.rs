//! What every statement costs, by `pg_stat_statements`: its mean time, and how many pages it touches, which says more of its
//! growth because nothing else on the machine changes it. And which tables are read from one end to the other.

use anyhow::Result;
use careeros_fleet::databases;
use serde::{Deserialize, Serialize};

use crate::{fleet::Fleet, statements};

/// A statement of a service.
#[derive(Debug, Clone, Serialize, Deserialize, sqlx::FromRow)]
pub(super) struct Statement {
    pub(super) database: String,
    pub(super) query: String,
    pub(super) calls: i64,
    pub(super) milliseconds: f64,
    /// Pages of 8 KiB touched by a call.
    pub(super) pages: f64,
}

/// Begins to count.
pub(super) async fn reset(fleet: &Fleet) -> Result<()> {
    statements::reset(&mut fleet.connect("postgres").await?).await
}

/// What all statements of the services have cost since [`reset`].
pub(super) async fn read(fleet: &Fleet) -> Result<Vec<Statement>> {
    let mut connection = fleet.connect("postgres").await?;
    let rows = sqlx::query_as(
        "select d.datname::text as database, regexp_replace(s.query, '\\s+', ' ', 'g') as query, sum(s.calls)::bigint as calls,
                sum(s.total_exec_time) / sum(s.calls) as milliseconds,
                (sum(s.shared_blks_hit + s.shared_blks_read) / sum(s.calls))::float8 as pages
         from pg_stat_statements s
         join pg_database d on d.oid = s.dbid
         join pg_roles r on r.oid = s.userid
         where s.calls > 0 and d.datname = any($1) and not r.rolsuper and s.toplevel
         group by 1, 2 order by 1, 2",
    );
    Ok(rows.bind(databases::NAMES.map(str::to_owned).to_vec()).fetch_all(&mut connection).await?)
}
