//! In production a service starts only as a role that row-level security binds.

use careeros_shared::{
    config::{self, Stores},
    env::{Env, Problems},
    testing::{self, TestDb},
};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::{NO_MIGRATIONS, SERVICE};

const RANDOM: &str = "4b1f0c9e7a6d52384b1f0c9e7a6d5238";

/// A new role with what `grants` says; the URL by which a service uses it.
async fn role(db: &TestDb, grants: &str) -> String {
    let name = format!("r_{}", testing::id().simple());
    let script = format!("create role {name} login password '{RANDOM}'; {}", grants.replace("ROLE", &name));
    db.admin.execute(AssertSqlSafe(script)).await.unwrap();
    let (_, place) = db.url.rsplit_once('@').unwrap();
    format!("postgres://{name}:{RANDOM}@{place}")
}

/// What production makes of a service with this secret and database.
async fn load(secret: &str, database_url: &str) -> Result<(), Problems> {
    let env: Env = [
        ("APP_ENV", "production"),
        ("SERVICE_SHARED_SECRET", secret),
        ("DATABASE_URL", database_url),
        ("KAFKA_BROKERS", "localhost:9092"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect();
    config::load(&SERVICE, &env, Stores::read).await.map(|_| ())
}

#[tokio::test]
async fn only_a_role_that_row_level_security_binds_is_taken() {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    for (grants, reason) in [
        ("alter role ROLE superuser", "is a superuser"),
        ("alter role ROLE bypassrls", "bypasses row-level security"),
        ("alter table outbox owner to ROLE", "owns the tables"),
    ] {
        let problems = load(RANDOM, &role(&db, grants).await).await.unwrap_err().to_string();
        assert!(problems.contains("DATABASE_URL names the role") && problems.contains(reason), "{problems}");
        assert!(!problems.contains(RANDOM), "{problems}");
    }
    load(RANDOM, &role(&db, "").await).await.unwrap();
}

#[tokio::test]
async fn the_role_is_told_together_with_everything_else() {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    let url = role(&db, "alter role ROLE superuser").await;
    let problems = load("a-secret-for-tests-only", &url).await.unwrap_err().to_string();
    for part in ["SERVICE_SHARED_SECRET", "is a superuser"] {
        assert!(problems.contains(part), "{problems}");
    }
}

#[tokio::test]
async fn a_database_that_is_away_does_not_keep_a_service_from_starting() {
    let url = format!("postgres://careeros_lms:{RANDOM}@127.0.0.1:1/lms");
    load(RANDOM, &url).await.unwrap();
}
