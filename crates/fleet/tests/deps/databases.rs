use careeros_fleet::databases::{self, Database, NAMES};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;

use crate::support::{connect, directory, open, postgres};

const NO_RIGHT: &str = "42501";

fn find<'a>(databases: &'a [Database], name: &str) -> &'a Database {
    databases.iter().find(|database| database.name == name).unwrap()
}

fn pointed_at(url: &SecretString, from: &str, to: &str) -> SecretString {
    url.expose_secret().replace(&format!("/{from}?"), &format!("/{to}?")).into()
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned()
}

#[tokio::test]
async fn role_of_one_database_cannot_connect_to_another() {
    let directory = directory();
    let data = open(&directory);
    let server = postgres(&data).await;
    let databases = databases::provision(&server, data.secrets()).await.unwrap();
    let auth = &find(&databases, "auth").service_url;
    connect(auth).await.unwrap().close().await.unwrap();
    for other in NAMES.into_iter().filter(|name| *name != "auth").chain(["postgres"]) {
        let error = connect(&pointed_at(auth, "auth", other)).await.unwrap_err();
        assert_eq!(code(&error), NO_RIGHT, "{other}: {error}");
    }
}

#[tokio::test]
async fn service_uses_the_tables_that_migrations_make_and_cannot_change_them() {
    let directory = directory();
    let data = open(&directory);
    let server = postgres(&data).await;
    let databases = databases::provision(&server, data.secrets()).await.unwrap();
    let billing = find(&databases, "billing");
    let mut migrator = connect(&billing.migrator_url).await.unwrap();
    let table = "create table plans (id bigint generated always as identity, code text not null)";
    sqlx::raw_sql(table).execute(&mut migrator).await.unwrap();

    let mut service = connect(&billing.service_url).await.unwrap();
    let rows = "insert into plans (code) values ('free'); update plans set code = 'pro'; select * from plans; delete from plans";
    sqlx::raw_sql(rows).execute(&mut service).await.unwrap();
    for forbidden in [
        "drop table plans",
        "alter table plans add x int",
        "create table own (x int)",
        "create temp table t (x int)",
        "truncate plans",
    ] {
        let error = sqlx::raw_sql(forbidden).execute(&mut service).await.unwrap_err();
        assert_eq!(code(&error), NO_RIGHT, "{forbidden}: {error}");
    }
}

#[tokio::test]
async fn provisioning_again_keeps_the_data_and_the_passwords() {
    let directory = directory();
    let data = open(&directory);
    let server = postgres(&data).await;
    let first = databases::provision(&server, data.secrets()).await.unwrap();
    let mut migrator = connect(&find(&first, "lms").migrator_url).await.unwrap();
    sqlx::raw_sql("create table courses (id int); insert into courses values (7)")
        .execute(&mut migrator)
        .await
        .unwrap();
    drop(migrator);

    let second = databases::provision(&server, data.secrets()).await.unwrap();
    let mut service = connect(&find(&second, "lms").service_url).await.unwrap();
    let course: i32 = sqlx::query_scalar("select id from courses").fetch_one(&mut service).await.unwrap();
    assert_eq!(course, 7);
    assert_eq!(second.len(), NAMES.len());
}

#[tokio::test]
async fn no_service_role_is_above_row_level_security() {
    let directory = directory();
    let data = open(&directory);
    let server = postgres(&data).await;
    databases::provision(&server, data.secrets()).await.unwrap();
    let mut superuser = connect(&server.superuser_url("postgres")).await.unwrap();
    let ordinary: Vec<String> = sqlx::query_scalar(
        "select rolname from pg_roles where rolname like 'careeros\\_%'
         and not (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb)",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(ordinary.len(), NAMES.len() + 1, "{ordinary:?}");
}
