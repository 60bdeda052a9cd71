use std::time::Duration;

use careeros_shared::{
    db::Db,
    testing::{self, TestDb},
};
use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::NO_MIGRATIONS;

/// Connections made as services make theirs.
fn connect(db: &TestDb) -> Db {
    connect_up_to(db, 5)
}

/// At most `size` of them.
fn connect_up_to(db: &TestDb, size: u32) -> Db {
    Db::connect_lazy(&db.url.clone().into(), size, "test-service").unwrap()
}

/// How many sessions of `connect`'s fulfil `condition`.
async fn sessions(test: &TestDb, condition: &str) -> i64 {
    let query = format!(
        "select count(*) from pg_stat_activity
         where application_name = 'test-service' and datname = current_database() and {condition}"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&test.admin).await.unwrap()
}

#[tokio::test]
async fn one_connection_serves_one_statement_after_the_other() {
    let test = TestDb::new(&NO_MIGRATIONS).await;
    let db = connect(&test);
    for number in 0..20 {
        let answer: i32 = sqlx::query_scalar("select $1::int4").bind(number).fetch_one(&db).await.unwrap();
        assert_eq!(answer, number);
        sqlx::query("select 1 / $1").bind(0).execute(&db).await.unwrap_err();
        assert_eq!(sqlx::query("values (1), (2)").fetch_all(&db).await.unwrap().len(), 2);
        db.begin_system().await.unwrap().commit().await.unwrap();
    }
    assert_eq!(sessions(&test, "true").await, 1);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_has_never_been() {
    let test = TestDb::new(&NO_MIGRATIONS).await;
    let db = connect_up_to(&test, 1);
    let key = "insert into idempotency_keys (scope, route, key, request_hash, claim, locked_until, created_at)
               values ('s', 'r', 'k', '', gen_random_uuid(), now(), now())";
    let mut tx = db.begin_system().await.unwrap();
    sqlx::query(key).execute(&mut *tx).await.unwrap();
    drop(tx);
    // By the same connection, and nothing waits for a row that was given up.
    sqlx::query(key).execute(&db).await.unwrap();
    let kept: i64 = sqlx::query_scalar("select count(*) from idempotency_keys").fetch_one(&db).await.unwrap();
    assert_eq!((kept, sessions(&test, "true").await), (1, 1));
    testing::eventually("no session is in a transaction", async || sessions(&test, "state <> 'idle'").await == 0).await;
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_disturbs_nobody_after() {
    let test = TestDb::new(&NO_MIGRATIONS).await;
    let db = connect_up_to(&test, 1);
    for stop in (0..60).map(|step| Duration::from_micros(step * 50)) {
        // Wherever it is by then: connecting, beginning, asking or reading.
        let transaction = async {
            let mut tx = db.begin_system().await?;
            sqlx::query("select generate_series(1, 100), pg_sleep(0)").fetch_all(&mut *tx).await?;
            tx.commit().await
        };
        drop(tokio::time::timeout(stop, transaction).await);
        let statement = sqlx::query("insert into inbox (consumer_group, event_id) values ('g', gen_random_uuid())");
        drop(tokio::time::timeout(stop, statement.execute(&db)).await);
        let scope: String = sqlx::query_scalar("select coalesce(current_setting('app.tenant_id', true), '')")
            .fetch_one(&db)
            .await
            .unwrap();
        assert_eq!(scope, "", "a statement after it runs in nobody's transaction");
    }
    sqlx::query("insert into inbox (consumer_group, event_id) values ('last', gen_random_uuid())")
        .execute(&db)
        .await
        .unwrap();
    let kept: i64 = sqlx::query_scalar("select count(*) from inbox where consumer_group = 'last'")
        .fetch_one(&test.admin)
        .await
        .unwrap();
    assert_eq!(kept, 1, "what is done is committed");
}

#[tokio::test]
async fn a_caller_does_not_wait_for_ever_for_a_connection() {
    let test = TestDb::new(&NO_MIGRATIONS).await;
    let db = connect_up_to(&test, 1);
    let held = db.begin_system().await.unwrap();
    let refused = sqlx::query("select 1").execute(&db).await.unwrap_err();
    assert!(matches!(refused, sqlx::Error::PoolTimedOut), "{refused}");
    drop(held);
    sqlx::query("select 1").execute(&db).await.unwrap();
}

#[tokio::test]
async fn a_closed_connection_is_replaced() {
    let test = TestDb::new(&NO_MIGRATIONS).await;
    let db = connect(&test);
    for _ in 0..3 {
        let mut tx = db.begin(testing::id()).await.unwrap();
        sqlx::query("select 1").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test-service' and datname = current_database()")
            .execute(&test.admin)
            .await
            .unwrap();
    }
    assert!(db.begin(testing::id()).await.is_ok());
}

#[tokio::test]
async fn two_migrations_at_once_are_harmless() {
    let test = TestDb::new(&NO_MIGRATIONS).await;
    let db = Db::new((*test.admin.connect_options()).clone(), 2);
    let (first, second) = tokio::join!(db.migrate(&NO_MIGRATIONS), db.migrate(&NO_MIGRATIONS));
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn a_migration_may_take_as_long_as_it_takes() {
    let test = TestDb::new(&NO_MIGRATIONS).await;
    let options = test.admin.connect_options().as_ref().clone().options([("statement_timeout", "10s")]);
    let db = Db::new(options, 1);
    let sql = "create table allowed as select current_setting('statement_timeout') as a_statement";
    let sql = AssertSqlSafe(sql).into_sql_str();
    let migration = Migration::new(500, "timeout".into(), MigrationType::Simple, sql, false);
    db.migrate(&Migrator { migrations: vec![migration].into(), ..Migrator::DEFAULT }).await.unwrap();
    let allowed: String = sqlx::query_scalar("select a_statement from allowed").fetch_one(&test.admin).await.unwrap();
    assert_eq!(allowed, "0");
}
