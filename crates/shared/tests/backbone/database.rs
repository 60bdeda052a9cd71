use careeros_shared::{
    db::Db,
    testing::{self, TestDb},
};

use crate::NO_MIGRATIONS;

/// A pool made as services make theirs.
fn connect(db: &TestDb) -> Db {
    Db::connect_lazy(&db.url.clone().into(), 5, "test-service").unwrap()
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
    let db = Db::new(test.admin.clone());
    let (first, second) = tokio::join!(db.migrate(&NO_MIGRATIONS), db.migrate(&NO_MIGRATIONS));
    first.unwrap();
    second.unwrap();
}
