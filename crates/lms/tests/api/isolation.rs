use careeros_shared::db::Tx;
use uuid::Uuid;

use crate::School;

async fn count(tx: &mut Tx, table: &'static str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap()
}

#[tokio::test]
async fn row_level_security_shows_other_tenants_public_courses_and_nothing_else() {
    let school = School::new().await;
    let (public, lessons) = school.course("Public", "PUBLIC", 2).await;
    school.course("Ours", "TENANT", 1).await;
    let draft = school.draft("Draft", "PUBLIC").await;
    school.module(&draft).await;
    school.enroll(&school.stranger, &public).await;
    for lesson_id in &lessons {
        school.complete(&school.stranger, &public, lesson_id).await.expect(200);
    }
    // What the course's tenant, the learner's tenant, a third one and nobody see of each table.
    for (table, seen) in [
        ("instructors", [1, 0, 0, 0]),
        ("courses", [3, 1, 1, 1]),
        ("modules", [3, 1, 1, 1]),
        ("lessons", [3, 2, 2, 2]),
        ("enrollments", [0, 1, 0, 0]),
        ("lesson_completions", [0, 2, 0, 0]),
        ("certificates", [0, 1, 0, 0]),
    ] {
        let tenants = [school.instructor.tenant_id, school.stranger.tenant_id, Uuid::from_u128(0x404), Uuid::nil()];
        for (tenant_id, rows) in tenants.into_iter().zip(seen) {
            let mut tx = school.db.begin(tenant_id).await.unwrap();
            assert_eq!(count(&mut tx, table).await, rows, "{table} as {tenant_id}");
        }
    }
}

#[tokio::test]
async fn row_level_security_lets_nobody_write_another_tenants_rows() {
    let school = School::new().await;
    let (course_id, _) = school.course("Public", "PUBLIC", 1).await;
    for sql in [
        "update courses set title = 'mine'",
        "update modules set title = 'mine'",
        "update lessons set title = 'mine'",
        "delete from lessons",
    ] {
        let mut tx = school.db.begin(school.stranger.tenant_id).await.unwrap();
        let done = sqlx::query(sql).execute(&mut *tx).await.unwrap();
        assert_eq!(done.rows_affected(), 0, "{sql}");
    }
    // Nor is a row put into another tenant.
    let mut tx = school.db.begin(school.stranger.tenant_id).await.unwrap();
    let smuggled = sqlx::query(
        "insert into enrollments (id, user_id, course_id, tenant_id, enrolled_at) values ($1, $2, $3::uuid, $4, now())",
    )
    .bind(Uuid::from_u128(0x404))
    .bind(school.pupil.id)
    .bind(&course_id)
    .bind(school.pupil.tenant_id)
    .execute(&mut *tx)
    .await;
    let error = smuggled.unwrap_err().into_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("42501"), "{error}");
}

#[tokio::test]
async fn every_table_with_a_tenant_has_forced_row_level_security() {
    let school = School::new().await;
    let open: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class join pg_attribute on attrelid = pg_class.oid
         where attname = 'tenant_id' and relkind = 'r' and not (relrowsecurity and relforcerowsecurity)",
    )
    .fetch_all(&school.db.admin)
    .await
    .unwrap();
    assert_eq!(open, Vec::<String>::new());
}
