//! The eight databases of the services on one server, each with a role of its own that may read and
//! write its tables and nothing else, and one migrator role that owns them all.

use anyhow::{Context as _, Result};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::data::Secrets;
use crate::postgres::Postgres;

/// The services' databases, as the contract names them.
pub const NAMES: [&str; 8] =
    ["auth", "user_profile", "ai_core", "roadmap", "lms", "edu_tracker", "billing", "analytics"];

/// The role that owns the databases and applies migrations.
const MIGRATOR: &str = "careeros_migrator";

/// One service's database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name, one of [`NAMES`].
    pub name: &'static str,
    /// For the service: it reads and writes rows and cannot change tables.
    pub service_url: SecretString,
    /// For migrations: the owner of the database.
    pub migrator_url: SecretString,
}

/// Creates what is missing of the databases and roles, and sets their rights and passwords.
/// Harmless to repeat.
///
/// # Errors
/// When the server refuses a statement.
pub async fn provision(server: &Postgres, secrets: &Secrets) -> Result<Vec<Database>> {
    let mut connection = connect(&server.superuser_url("postgres")).await?;
    let migrator_password = secrets.derive(MIGRATOR);
    set_role(&mut connection, MIGRATOR, &migrator_password).await?;
    execute(&mut connection, "revoke connect on database postgres from public").await?;
    let mut databases = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        let role = format!("careeros_{name}");
        let password = secrets.derive(&role);
        set_role(&mut connection, &role, &password).await?;
        create(&mut connection, name).await?;
        restrict(&mut connection, name, &role).await?;
        databases.push(Database {
            name,
            service_url: server.url(&role, &password, name),
            migrator_url: server.url(MIGRATOR, &migrator_password, name),
        });
        let mut inside = connect(&server.superuser_url(name)).await?;
        grant(&mut inside, &role).await?;
        inside.close().await?;
    }
    connection.close().await?;
    Ok(databases)
}

async fn connect(url: &SecretString) -> Result<PgConnection> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    options.connect().await.context("cannot connect to the local PostgreSQL")
}

/// Runs statements made of names and passwords of this file, none of which needs quoting.
async fn execute(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn set_role(connection: &mut PgConnection, role: &str, password: &SecretString) -> Result<()> {
    let found: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
        .bind(role)
        .fetch_one(&mut *connection)
        .await?;
    let verb = if found { "alter" } else { "create" };
    let password = password.expose_secret();
    let sql = format!(
        "{verb} role {role} login nosuperuser nocreatedb nocreaterole nobypassrls noreplication password '{password}'"
    );
    execute(connection, &sql).await.with_context(|| format!("cannot set the role {role}"))
}

async fn create(connection: &mut PgConnection, database: &str) -> Result<()> {
    let found: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(database)
        .fetch_one(&mut *connection)
        .await?;
    if !found {
        let sql = format!("create database {database} owner {MIGRATOR}");
        execute(connection, &sql).await.with_context(|| format!("cannot create the database {database}"))?;
    }
    Ok(())
}

/// PostgreSQL lets everybody connect to a new database; here only its own role and its owner may.
async fn restrict(connection: &mut PgConnection, database: &str, role: &str) -> Result<()> {
    let sql = format!(
        "revoke all on database {database} from public;
         grant connect on database {database} to {role}"
    );
    execute(connection, &sql).await.with_context(|| format!("cannot restrict the database {database}"))
}

/// Rights inside the database: on the tables that are there and on those that migrations will add.
async fn grant(connection: &mut PgConnection, role: &str) -> Result<()> {
    let sql = format!(
        "alter schema public owner to {MIGRATOR};
         revoke create on schema public from public;
         grant usage on schema public to {role};
         grant select, insert, update, delete on all tables in schema public to {role};
         grant usage, select on all sequences in schema public to {role};
         alter default privileges for role {MIGRATOR} in schema public
             grant select, insert, update, delete on tables to {role};
         alter default privileges for role {MIGRATOR} in schema public
             grant usage, select on sequences to {role}"
    );
    execute(connection, &sql).await.with_context(|| format!("cannot grant rights to {role}"))
}
