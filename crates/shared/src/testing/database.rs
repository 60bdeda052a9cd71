//! A database of its own for each test, copied from a template that is migrated once.

use std::{ops::Deref, str::FromStr};

use sha2::{Digest, Sha256};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::variable;
use crate::{
    db::{BACKBONE, Db},
    events::Envelope,
};

/// The role that services under test connect as: neither owner nor superuser, so that row-level security holds.
const ROLE: &str = "careeros_test";

/// A test's own database, used as the service's least-privilege role.
#[derive(Debug)]
pub struct TestDb {
    db: Db,
    /// Where services under test connect to, as their own role.
    pub url: String,
    /// As superuser, for looking at what row-level security would hide and for breaking things.
    pub admin: sqlx::PgPool,
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl TestDb {
    /// A fresh database with the backbone's and the service's migrations.
    pub async fn new(migrations: &'static Migrator) -> Self {
        let server = PgConnectOptions::from_str(&variable("TEST_DATABASE_URL")).expect("TEST_DATABASE_URL is a URL");
        let mut connection = PgConnection::connect_with(&server).await.expect("the test server answers");
        let template = ensure_template(&mut connection, &server, migrations).await;
        let name = format!("t_{}", super::id().simple());
        run(&mut connection, format!("create database {name} template {template}")).await;
        let pool = |options: PgConnectOptions| PgPoolOptions::new().max_connections(8).connect_lazy_with(options);
        let (host, port) = (server.get_host(), server.get_port());
        Self {
            url: format!("postgres://{ROLE}:{ROLE}@{host}:{port}/{name}"),
            db: Db::new(server.clone().database(&name).username(ROLE).password(ROLE).options([("jit", "off")]), 8),
            admin: pool(server.database(&name)),
        }
    }

    /// The events in the outbox, oldest first, with their topics and keys.
    pub async fn outbox(&self) -> Vec<(String, String, Envelope)> {
        let rows: Vec<(String, String, String)> = sqlx::query_as("select topic, key, value from outbox order by seq")
            .fetch_all(&self.admin)
            .await
            .expect("the outbox can be read");
        rows.into_iter()
            .map(|(topic, key, value)| (topic, key, Envelope::parse(value.as_bytes()).expect("a valid envelope")))
            .collect()
    }

    /// The types of the events in the outbox, oldest first.
    pub async fn event_types(&self) -> Vec<String> {
        self.outbox().await.into_iter().map(|(_, _, envelope)| envelope.event_type).collect()
    }
}

async fn ensure_template(connection: &mut PgConnection, server: &PgConnectOptions, migrations: &Migrator) -> String {
    let mut hash = Sha256::new();
    for migration in BACKBONE.iter().chain(migrations.iter()) {
        hash.update(&migration.checksum);
    }
    let template = format!("template_{}", &hex::encode(hash.finalize())[..16]);
    // One at a time over all test processes; the lock ends with the connection at the latest.
    run(connection, "select pg_advisory_lock(4711)".to_owned()).await;
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1 and datistemplate)")
            .bind(&template)
            .fetch_one(&mut *connection)
            .await
            .expect("pg_database can be read");
    if !exists {
        run(connection, format!(
            "do $$ begin create role {ROLE} login password '{ROLE}'; exception when duplicate_object then null; end $$"
        ))
        .await;
        run(connection, format!("drop database if exists {template}")).await;
        run(connection, format!("create database {template}")).await;
        let db = Db::new(server.clone().database(&template), 1);
        for kind in ["tables", "sequences"] {
            let grant = format!("alter default privileges grant all on {kind} to {ROLE}");
            db.execute(AssertSqlSafe(grant)).await.expect("privileges can be granted");
        }
        db.migrate(migrations).await.expect("the migrations apply");
        db.close();
        run(connection, format!("alter database {template} is_template true")).await;
    }
    run(connection, "select pg_advisory_unlock(4711)".to_owned()).await;
    template
}

async fn run(connection: &mut PgConnection, sql: String) {
    connection.execute(AssertSqlSafe(sql.clone())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
