//! PostgreSQL: the pool, transactions that see one tenant, migrations.
//!
//! Row-level security stands behind every query's own tenant filter: a transaction of [`Db::begin`] sees the rows of one
//! tenant, one of [`Db::begin_system`] all of them. A query that runs outside of either sees none.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use futures::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlSafeStr, SqlStr,
    Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo},
};
use sqlx_core::transaction::TransactionManager;
use tokio::sync::Notify;
use uuid::Uuid;

use self::pool::{Connection, Pool};
use crate::{error::Result, production};

mod pool;

/// The tables that every service's database has: outbox, inbox, idempotency keys, and the functions of tenant isolation.
/// They have the version numbers below 100; a service's own migrations start there.
pub static BACKBONE: Migrator = sqlx::migrate!("../../migrations/shared");

/// A service's database.
///
/// It is an [`Executor`] for single statements on tables without tenants, and for those that say by `app_scope` whose rows
/// they see. All else goes through a transaction.
#[derive(Debug, Clone)]
pub struct Db {
    pool: Pool,
    committed: Arc<Notify>,
}

impl Db {
    /// A pool for `url` that connects when first used.
    ///
    /// # Errors
    /// Where `url` is not a PostgreSQL URL.
    pub fn connect_lazy(url: &SecretString, max_connections: u32, name: &str) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.expose_secret().parse()?;
        let options = options
            .application_name(name)
            // A lost lock or a runaway query must not hold a request beyond its deadline.
            .options([
                ("statement_timeout", "10s"),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "30s"),
                // Compiling a plan takes longer than any of our statements runs.
                ("jit", "off"),
            ]);
        Ok(Self::new(options, max_connections as usize))
    }

    /// At most `max_connections` connections by `options`, made when first needed.
    pub fn new(options: PgConnectOptions, max_connections: usize) -> Self {
        Self { pool: Pool::new(options, max_connections), committed: Arc::default() }
    }

    /// A connection of its own, beside those that are shared.
    ///
    /// # Errors
    /// Where the server cannot be reached for three seconds.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.pool.connect().await
    }

    /// Closes all connections; those in use when their work is done. Nothing can be done with it any more.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Closes connections that nobody has needed for long; says how many are open, how many of them are idle, and how many
    /// there may be.
    pub(crate) fn upkeep(&self) -> [usize; 3] {
        self.pool.reap();
        self.pool.sizes()
    }

    /// Begins a transaction that sees the rows of `tenant_id` alone.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn begin(&self, tenant_id: Uuid) -> Result<Tx> {
        self.begin_as(&tenant_id.hyphenated().to_string()).await
    }

    /// Begins a transaction that sees the rows of all tenants: for consumers, and for the few lookups that come before a
    /// tenant is known.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn begin_system(&self) -> Result<Tx> {
        self.begin_as("*").await
    }

    async fn begin_as(&self, tenant: &str) -> Result<Tx> {
        // One round trip; `tenant` is a formatted UUID or a star, never input.
        let begin = format!("begin; set local app.tenant_id = '{tenant}'");
        let [_, _, mut spare] = self.pool.sizes();
        let connection = loop {
            let mut connection = self.pool.acquire().await?;
            let statement = AssertSqlSafe(begin.clone()).into_sql_str();
            match connection.begin(statement).await {
                Ok(()) => break connection,
                // Nothing has happened yet, so a connection that the server has closed is simply replaced; after a
                // restart of the server all of them are.
                Err(error) if spare > 0 && is_disconnect(&error) => {
                    connection.discard();
                    spare -= 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Tx { connection, committed: Arc::clone(&self.committed), publishes: false })
    }

    /// Wakes the relay after a statement of its own has committed events.
    pub fn wake_relay(&self) {
        self.committed.notify_one();
    }

    /// Completes when a transaction with events has been committed by this process.
    pub(crate) async fn committed(&self) {
        self.committed.notified().await;
    }

    /// Applies the backbone's migrations and then `migrations`. Two at once are harmless: the second waits and finds
    /// nothing left to do.
    ///
    /// # Errors
    /// Where a migration fails or an applied one was changed.
    pub async fn migrate(&self, migrations: &Migrator) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        // An index over a large table takes minutes to build; what a request may take is no measure for it.
        sqlx::query("set statement_timeout = 0").execute(&mut connection).await?;
        for migrator in [&BACKBONE, migrations] {
            let mut migrator = Migrator { migrations: migrator.migrations.clone(), ..Migrator::DEFAULT };
            // Each of the two sees the other's as missing.
            migrator.set_ignore_missing(true);
            migrator.run(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Whether the database answers and has every migration of `migrations`.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    pub async fn check(&self, migrations: &'static Migrator) -> std::result::Result<(), String> {
        let all: Vec<i64> = BACKBONE.iter().chain(migrations.iter()).map(|m| m.version).collect();
        // Each of the two has numbers of its own, so the newest says nothing of the other's.
        let applied: std::result::Result<bool, sqlx::Error> = sqlx::query_scalar(
            "select count(*) = cardinality($1) from _sqlx_migrations where version = any($1) and success",
        )
        .bind(all)
        .fetch_one(self)
        .await;
        match applied {
            Ok(true) => Ok(()),
            Ok(false) => Err("migrations are missing; run scripts/apply-migrations.sh".to_owned()),
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("42P01") => {
                Err("the database is empty; run scripts/apply-migrations.sh".to_owned())
            }
            Err(error) => Err(format!("the database does not answer: {}", crate::error::Error::from(error).message())),
        }
    }

    /// Whether row-level security binds the service's role.
    ///
    /// # Errors
    /// Why not, or that the database does not answer.
    pub(crate) async fn check_role(&self) -> std::result::Result<(), String> {
        let asked = async {
            let mut connection = self.pool.acquire().await?;
            let asked = production::unbound(&mut connection).await;
            connection.release();
            asked
        };
        match asked.await {
            Ok(None) => Ok(()),
            Ok(Some(problem)) => Err(format!("DATABASE_URL {problem}")),
            Err(error) => Err(format!("the database does not answer: {}", crate::error::Error::from(error).message())),
        }
    }
}

/// Whether the connection is gone: the socket failed or the server ended the session (57P01 to 57P05).
fn is_disconnect(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| code.starts_with("57P0")),
        _ => false,
    }
}

/// `done` with `connection`: given back, or closed where it broke.
fn settle<T>(connection: Connection, done: sqlx::Result<T>) -> sqlx::Result<T> {
    match &done {
        Err(error) if is_disconnect(error) => connection.discard(),
        _ => connection.release(),
    }
    done
}

impl<'p> Executor<'p> for &'p Db {
    type Database = Postgres;

    /// All rows are read before the first is given out, so that nobody holds a connection by reading slowly.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = async move {
            let mut connection = self.pool.acquire().await?;
            let rows = connection.fetch_many(query).try_collect::<Vec<_>>().await;
            settle(connection, rows)
        };
        rows.map_ok(|rows| stream::iter(rows).map(Ok)).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move {
            let mut connection = self.pool.acquire().await?;
            let row = connection.fetch_optional(query).await;
            settle(connection, row)
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        async move {
            let mut connection = self.pool.acquire().await?;
            let statement = connection.prepare_with(sql, parameters).await;
            settle(connection, statement)
        }
        .boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        async move {
            let mut connection = self.pool.acquire().await?;
            let description = connection.describe(sql).await;
            settle(connection, description)
        }
        .boxed()
    }
}

/// A transaction; dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub struct Tx {
    connection: Connection,
    committed: Arc<Notify>,
    publishes: bool,
}

impl Tx {
    /// Commits, and wakes the relay where events were written.
    ///
    /// # Errors
    /// 503 where the database went away; then nothing of the transaction stays, or all of it.
    pub async fn commit(mut self) -> Result<()> {
        PgTransactionManager::commit(&mut self.connection).await?;
        self.connection.release();
        if self.publishes {
            self.committed.notify_one();
        }
        Ok(())
    }

    /// Begins a part that can be undone alone.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn savepoint(&mut self) -> Result<Transaction<'_, Postgres>> {
        Ok(PgConnection::begin(&mut self.connection).await?)
    }

    pub(crate) fn publishes(&mut self) {
        self.publishes = true;
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
