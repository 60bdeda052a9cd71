//! PostgreSQL as the benchmark needs it, and the databases of the services.

use anyhow::{Context as _, Result};
use careeros_fleet::{
    data::DataDir,
    databases::{self, Database},
    net::Port,
    postgres::{Options, Postgres},
    services,
};
use careeros_shared::db::Db;
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

/// A server that keeps the time of every commit, which is how delays are measured.
pub(super) async fn postgres(data: &DataDir, port: Port, statements: bool) -> Result<Postgres> {
    let options = Options { port, durable: true, max_connections: 200 };
    let postgres = Postgres::start(data, options).await?;
    let url: PgConnectOptions = postgres.superuser_url("postgres").expose_secret().parse()?;
    let mut connection = url.connect().await?;
    sqlx::query("alter system set track_commit_timestamp = on").execute(&mut connection).await?;
    if statements {
        sqlx::query("alter system set shared_preload_libraries = pg_stat_statements").execute(&mut connection).await?;
    }
    drop(connection);
    // Both take effect at the start.
    postgres.stop().await?;
    Postgres::start(data, options).await
}

/// The databases of all services, with their tables.
pub(super) async fn databases(postgres: &Postgres, data: &DataDir) -> Result<Vec<Database>> {
    let databases = databases::provision(postgres, data.secrets()).await?;
    for database in services::ALL.iter().filter_map(|entry| entry.database) {
        let owner = databases.iter().find(|made| made.name == database.name).context("a database is missing")?;
        Db::connect_lazy(&owner.migrator_url, 2, "careeros-bench")?.migrate(database.migrations).await?;
    }
    Ok(databases)
}
