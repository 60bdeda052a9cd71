//! Deleting what has expired, however much that is.
//!
//! One statement over all of it would outlast its deadline after a busy day, and then never succeed again, so it goes in
//! batches, each a transaction of its own. Rows that another process is deleting are passed over (`skip locked`). The oldest
//! go first, and that order is also what makes PostgreSQL use the index: without it, it would expect to find a batch of rows
//! among the first that it reads, and read the whole table where there are none.

use sqlx::{Postgres, postgres::PgArguments, query::Query};

use crate::{db::Db, error::Result};

/// Rows deleted by one statement at the most.
pub const BATCH: i64 = 5_000;

/// Runs `delete`, a statement that deletes up to [`BATCH`] rows of any tenant, until nothing is left.
///
/// # Errors
/// 503 where the database is away; what was deleted before stays deleted.
pub async fn all<'q>(db: &Db, delete: impl Fn() -> Query<'q, Postgres, PgArguments>) -> Result<()> {
    loop {
        let mut tx = db.begin_system().await?;
        let deleted = delete().execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        if deleted < BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}
