//! The schema `rebuild`: the service's tables once more, empty. What the handler only reads is left out of it, so that it
//! reads the live tables; everything else that it writes, its outbox too, goes with the schema.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use careeros_shared::db::Db;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use super::{Task, execute};
use crate::output::say;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The session that holds the rebuild's lock and swaps the rows.
pub(super) async fn connect(owner: &PgConnectOptions) -> Result<PgConnection> {
    let options = owner.clone().options([("search_path", "public"), ("client_min_messages", "error")]);
    let connected = tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await;
    let mut session = connected.context("no answer").and_then(|session| Ok(session?)).with_context(|| {
        let (host, port) = (owner.get_host(), owner.get_port());
        format!("cannot connect to {host}:{port}/{}", owner.get_database().unwrap_or_default())
    })?;
    // A statement of ours ends when we do, also in the middle of it. Not every system can tell.
    drop(execute(&mut session, "set client_connection_check_interval = '1s'").await);
    Ok(session)
}

/// Makes the schema and the tables in it; the handler's transactions go through the `Db`.
pub(super) async fn create<H>(session: &mut PgConnection, task: &Task<H>) -> Result<Db> {
    let live = database(&task.owner, "public");
    if let Err(problem) = live.check(task.migrations).await {
        bail!("{problem}");
    }
    live.close();
    check_owner(session).await?;
    say("Making empty tables in the schema rebuild");
    remove(session).await?;
    execute(session, "create schema rebuild").await?;
    // Migrations see nothing else, so that they cannot touch a live table.
    let migrated = database(&task.owner, "rebuild");
    migrated.migrate(task.migrations).await.context("the migrations do not apply to the schema rebuild")?;
    migrated.close();
    for table in task.projection.reads {
        execute(session, &format!("drop table rebuild.{table} cascade")).await?;
    }
    Ok(database(&task.owner, "rebuild,public"))
}

/// Drops the schema, also one that an interrupted run has left.
pub(super) async fn remove(session: &mut PgConnection) -> Result<()> {
    execute(session, "drop schema if exists rebuild cascade").await.map(drop)
}

fn database(owner: &PgConnectOptions, search_path: &str) -> Db {
    // What is written here lasts only if the swap commits, which waits for the disk.
    let options = owner.clone().options([("search_path", search_path), ("synchronous_commit", "off"), ("jit", "off")]);
    Db::new(options, 2)
}

async fn check_owner(session: &mut PgConnection) -> Result<()> {
    let (role, database, owns, creates): (String, String, bool, bool) = sqlx::query_as(
        "select current_user::text, current_database()::text, pg_has_role(relowner, 'usage'),
                has_database_privilege(current_database(), 'create')
         from pg_class where oid = 'public.inbox'::regclass",
    )
    .fetch_one(session)
    .await?;
    if !owns {
        bail!("the role {role} does not own the tables of {database}: name the role that migrations run as");
    }
    if !creates {
        bail!("the role {role} may not make a schema: as superuser, grant create on database {database} to {role}");
    }
    Ok(())
}
