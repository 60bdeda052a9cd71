//! Changes to Tansu's tables that Tansu itself does not offer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libsql::{Connection, Database, TransactionBehavior};

/// Tansu's own writes take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database that Tansu's storage keeps topics in.
#[derive(Clone)]
pub(super) struct Catalog {
    database: Arc<Database>,
    cluster: &'static str,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens the database in `file`, which Tansu has made.
    pub(super) async fn open(file: &Path, cluster: &'static str) -> Result<Self> {
        let database = libsql::Builder::new_local(file).build().await;
        let database = database.with_context(|| format!("cannot open {}", file.display()))?;
        Ok(Self { database: database.into(), cluster })
    }

    /// Raises the number of a topic's partitions to `count`.
    pub(super) async fn grow(&self, topic: &str, count: usize) -> Result<(), tansu_broker::Error> {
        self.try_grow(topic, count).await.map_err(|error| tansu_broker::Error::Message(format!("{error:#}")))
    }

    async fn try_grow(&self, topic: &str, count: usize) -> Result<()> {
        let count = i64::try_from(count)?;
        let connection = self.connect()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).await?;
        let numbers = "with recursive number (n) as (select 0 union all select n + 1 from number where n + 1 < ?3)";
        for statement in [
            &format!(
                "{numbers} insert into topition (topic, partition) \
                 select t.id, n from number, topic t join cluster c on c.id = t.cluster \
                 where c.name = ?1 and t.name = ?2 and n >= t.partitions"
            ),
            // Tansu wants one for every partition, though offsets are kept here.
            "insert into watermark (topition) \
             select p.id from topition p join topic t on t.id = p.topic join cluster c on c.id = t.cluster \
             where c.name = ?1 and t.name = ?2 and p.partition >= t.partitions and p.partition < ?3",
            "update topic set partitions = ?3 \
             where name = ?2 and cluster = (select id from cluster where name = ?1)",
        ] {
            transaction.execute(statement, (self.cluster, topic, count)).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    fn connect(&self) -> Result<Connection> {
        let connection = self.database.connect()?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }
}
