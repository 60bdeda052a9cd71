//! PostgreSQL: the pool, transactions that see one tenant, migrations.
//!
//! Row-level security stands behind every query's own tenant filter: a transaction of [`Db::begin`] sees the rows of one
//! tenant, one of [`Db::begin_system`] all of them. A query that runs outside of either sees none.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::Result;

/// The tables that every service's database has: outbox, inbox, idempotency keys, and the functions of tenant isolation.
/// They have the version numbers below 100; a service's own migrations start there.
pub static BACKBONE: Migrator = sqlx::migrate!("../../migrations/shared");

/// A connection that has been idle for longer is tested before it is used: the server may have closed it meanwhile.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// A service's database.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
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
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(3))
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move { Ok(meta.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok()) })
            })
            .connect_lazy_with(options);
        Ok(Self::new(pool))
    }

    /// Wraps a pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, committed: Arc::default() }
    }

    /// The pool, for statements on tables without tenants and for reads through `app_scope`.
    pub fn pool(&self) -> &PgPool {
        &self.pool
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
        let mut spare = self.pool.options().get_max_connections();
        let tx = loop {
            match self.pool.begin_with(AssertSqlSafe(begin.clone())).await {
                Ok(tx) => break tx,
                // Nothing has happened yet, so a connection that the server has closed is simply replaced; after a
                // restart of the server all of them are.
                Err(error) if spare > 0 && is_disconnect(&error) => spare -= 1,
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Tx { inner: tx, committed: Arc::clone(&self.committed), publishes: false })
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
        for migrator in [&BACKBONE, migrations] {
            let mut migrator = Migrator { migrations: migrator.migrations.clone(), ..Migrator::DEFAULT };
            // Each of the two sees the other's as missing.
            migrator.set_ignore_missing(true);
            migrator.run(&self.pool).await?;
        }
        Ok(())
    }

    /// Whether the database answers and has every migration of `migrations`.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    pub async fn check(&self, migrations: &'static Migrator) -> std::result::Result<(), String> {
        let newest = BACKBONE.iter().chain(migrations.iter()).map(|m| m.version).max().unwrap_or_default();
        let applied: std::result::Result<bool, sqlx::Error> =
            sqlx::query_scalar("select exists (select from _sqlx_migrations where version = $1 and success)")
                .bind(newest)
                .fetch_one(&self.pool)
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
}

/// Whether the connection is gone: the socket failed or the server ended the session (57P01 to 57P05).
fn is_disconnect(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| code.starts_with("57P0")),
        _ => false,
    }
}

/// A transaction; dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    committed: Arc<Notify>,
    publishes: bool,
}

impl Tx {
    /// Commits, and wakes the relay where events were written.
    ///
    /// # Errors
    /// 503 where the database went away; then nothing of the transaction stays, or all of it.
    pub async fn commit(self) -> Result<()> {
        self.inner.commit().await?;
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
        Ok(self.inner.begin().await?)
    }

    pub(crate) fn publishes(&mut self) {
        self.publishes = true;
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
