//! The services' tables as their owner reads them, whatever the tenant.

use careeros_fleet::databases;
use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::processes::Processes;

/// What the backbone keeps in every database, and no projection.
const BACKBONE: [&str; 4] = ["outbox", "inbox", "idempotency_keys", "_sqlx_migrations"];

/// One service's database.
pub(super) struct Tables {
    name: &'static str,
    connection: PgConnection,
}

impl Tables {
    /// Those of the database `name`.
    pub(super) async fn of(processes: &Processes, name: &'static str) -> Self {
        let url = processes.superuser_url(name);
        let options: PgConnectOptions = url.expose_secret().parse().unwrap();
        Self { name, connection: options.connect().await.unwrap() }
    }

    /// The one column of text that `sql` selects.
    pub(super) async fn texts(&mut self, sql: &str) -> Vec<String> {
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await;
        rows.unwrap_or_else(|error| panic!("{}: {sql}: {error}", self.name))
    }

    /// The one number that `sql` selects.
    pub(super) async fn number(&mut self, sql: &str) -> i64 {
        let number = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await;
        number.unwrap_or_else(|error| panic!("{}: {sql}: {error}", self.name))
    }

    /// Every row of every table but the backbone's and `other` ones, each with the name of its table.
    pub(super) async fn dump(&mut self, other: &[&str]) -> Vec<String> {
        let mut dump = Vec::new();
        let names = self.texts("select tablename::text from pg_tables where schemaname = 'public' order by 1").await;
        for name in names.iter().filter(|name| !BACKBONE.contains(&name.as_str()) && !other.contains(&name.as_str())) {
            dump.extend(self.texts(&format!("select '{name} ' || to_jsonb(t)::text from {name} t order by 1")).await);
        }
        dump
    }

    pub(super) async fn close(self) {
        self.connection.close().await.unwrap();
    }
}

/// An outbox that has not been published whole, and what it waits for.
pub(super) async fn waiting(processes: &Processes) -> Option<String> {
    for name in databases::NAMES {
        let mut tables = Tables::of(processes, name).await;
        let (rows, parked) = ("select count(*) from outbox", "select count(*) from outbox where parked_at is not null");
        let (rows, parked) = (tables.number(rows).await, tables.number(parked).await);
        tables.close().await;
        if rows > 0 {
            return Some(format!("{rows} rows are in the outbox of {name}, {parked} of them parked"));
        }
    }
    None
}
