//! Kept connections, as many as a service may have.
//!
//! sqlx has a pool of its own, which asks the server after each use whether the connection is well: a round trip for every
//! read, as dear as the read. Here a connection whose work was carried through goes back as it is; one that was left in the
//! middle of something is first brought to rest.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, Object, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult};
use sqlx::{
    Connection as _, PgConnection, SqlStr,
    postgres::{PgConnectOptions, PgTransactionManager},
};
use sqlx_core::transaction::TransactionManager;
use tokio::runtime::Handle;

/// How long a caller waits for a connection, a new one included.
const ACQUIRE: Duration = Duration::from_secs(3);
/// The pause before a server that refuses or is just starting is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// A connection that has been idle for longer is tested before it is used: the server may have closed it meanwhile.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);
/// A connection that nobody has needed for so long is closed.
const IDLE: Duration = Duration::from_mins(10);
/// A connection is replaced when it is so old, so that what the server keeps for it does not grow for ever.
const LIFETIME: Duration = Duration::from_mins(30);
/// How long a connection that was left may take to come to rest; the server ends a statement after ten seconds.
const REST: Duration = Duration::from_secs(11);

/// Connections to one database.
#[derive(Clone)]
pub(super) struct Pool(deadpool::managed::Pool<Connector>);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.status()).finish()
    }
}

/// Opens connections and tests them before they are used again.
struct Connector(PgConnectOptions);

impl Manager for Connector {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<PgConnection> {
        loop {
            match PgConnection::connect_with(&self.0).await {
                Err(error) if is_passing(&error) => tokio::time::sleep(RETRY).await,
                connected => return connected,
            }
        }
    }

    async fn recycle(&self, connection: &mut PgConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if metrics.age() > LIFETIME {
            return Err(RecycleError::message("the connection is old"));
        }
        if metrics.last_used() > TRUSTED_IDLE {
            connection.ping().await?;
        }
        Ok(())
    }
}

impl Pool {
    /// At most `size` connections by `options`, made when first needed.
    pub(super) fn new(options: PgConnectOptions, size: usize) -> Self {
        let config = PoolConfig { queue_mode: QueueMode::Lifo, ..PoolConfig::new(size) };
        let pool = deadpool::managed::Pool::builder(Connector(options)).config(config).build();
        // Only timeouts without a runtime can be refused, and none are set.
        Self(pool.unwrap_or_else(|error| unreachable!("{error}")))
    }

    /// A connection to use.
    ///
    /// # Errors
    /// Where the server cannot be reached, or all connections are in use, for three seconds.
    pub(super) async fn acquire(&self) -> sqlx::Result<Connection> {
        match tokio::time::timeout(ACQUIRE, self.0.get()).await {
            Ok(Ok(connection)) => Ok(Connection { object: Some(connection), beginning: false }),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Closed)) => Err(sqlx::Error::PoolClosed),
            Ok(Err(_)) | Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// A connection beside those of the pool.
    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        let connected = tokio::time::timeout(ACQUIRE, self.0.manager().create()).await;
        connected.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Closes what nobody needs.
    pub(super) fn reap(&self) {
        self.0.retain(|_, metrics| metrics.last_used() < IDLE && metrics.age() < LIFETIME);
    }

    /// Closes all connections; those in use when they are given back.
    pub(super) fn close(&self) {
        self.0.close();
    }

    /// Connections that are open, those of them that nobody uses, and how many there may be.
    pub(super) fn sizes(&self) -> [usize; 3] {
        let status = self.0.status();
        [status.size, status.available.min(status.size), status.max_size]
    }
}

/// Whether a server may answer differently in a moment: it refuses connections, or says that it is starting (57P03).
fn is_passing(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    match error {
        sqlx::Error::Io(error) => matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset),
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// A connection in use. Dropped before [`Connection::release`] it counts as left in the middle of something.
pub(super) struct Connection {
    // There until it is released or dropped.
    object: Option<Object<Connector>>,
    // Whether the server may be in a transaction that sqlx does not know of.
    beginning: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Begins a transaction by `statement`.
    pub(super) async fn begin(&mut self, statement: SqlStr) -> sqlx::Result<()> {
        self.beginning = true;
        let begun = PgTransactionManager::begin(self, Some(statement)).await;
        self.beginning = false;
        begun
    }

    /// Gives the connection back, whose work is finished.
    pub(super) fn release(mut self) {
        self.object = None;
    }

    /// Closes the connection, which is broken.
    pub(super) fn discard(mut self) {
        drop(self.object.take().map(Object::take));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        let runtime = match Handle::try_current() {
            Ok(runtime) if !self.beginning => runtime,
            _ => return drop(Object::take(object)),
        };
        PgTransactionManager::start_rollback(&mut object);
        // The server may still be at work for whoever left; nobody else is to wait for that.
        runtime.spawn(async move {
            if !matches!(tokio::time::timeout(REST, object.ping()).await, Ok(Ok(()))) {
                drop(Object::take(object));
            }
        });
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        let Some(object) = &self.object else { unreachable!("it is there until it is released") };
        object
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        let Some(object) = &mut self.object else { unreachable!("it is there until it is released") };
        object
    }
}
