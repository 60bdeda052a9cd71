//! How large every table is.

use anyhow::Result;
use careeros_fleet::databases;
use serde::{Deserialize, Serialize};

use crate::fleet::Fleet;

/// A table.
#[derive(Debug, Clone, Serialize, Deserialize, sqlx::FromRow)]
pub(super) struct Table {
    pub(super) database: String,
    pub(super) name: String,
    pub(super) rows: i64,
    /// Of the rows, with what is stored out of line.
    pub(super) bytes: i64,
    /// Of all its indexes.
    pub(super) index_bytes: i64,
}

/// All tables that have rows.
pub(super) async fn read(fleet: &Fleet) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for database in databases::NAMES {
        let mut connection = fleet.connect(database).await?;
        let rows: Vec<Table> = sqlx::query_as(
            "select current_database()::text as database, relname::text as name, reltuples::bigint as rows,
                    pg_table_size(oid) as bytes, pg_indexes_size(oid) as index_bytes
             from pg_class
             where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace and reltuples > 0
               and relname not like '\\_sqlx%'
             order by relname",
        )
        .fetch_all(&mut connection)
        .await?;
        tables.extend(rows);
    }
    Ok(tables)
}
