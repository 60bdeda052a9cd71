//! What is convenient in development is refused in production: a process says everything that is wrong at once, and ends.

use careeros_shared::testing::TestDb;
use sqlx::ConnectOptions as _;

use crate::processes::{BILLING, BINARIES, GATEWAY, refused};

const SECRET: &str = "a-secret-of-development";

/// What a process says that is started in production with the secret of development and these variables.
async fn said(service: usize, variables: &[(&'static str, &str)]) -> String {
    let common = [("APP_ENV", "production"), ("SERVICE_SHARED_SECRET", SECRET)];
    let variables = common.iter().chain(variables).map(|(name, value)| (*name, (*value).to_owned()));
    refused(BINARIES[service], &variables.collect()).await
}

#[tokio::test]
async fn one_message_names_everything_that_production_refuses() {
    let gateway = said(GATEWAY, &[]).await;
    for problem in ["SERVICE_SHARED_SECRET contains the word secret", "CORS_ALLOWED_ORIGINS must list the origins"] {
        assert!(gateway.contains(problem), "{gateway}");
    }

    let database = TestDb::new(&careeros_billing::MIGRATIONS).await;
    let superuser = database.admin.connect_options().to_url_lossy();
    let stores = [("DATABASE_URL", superuser.as_str()), ("KAFKA_BROKERS", "localhost:9092")];
    let billing = said(BILLING, &stores).await;
    for problem in [
        "SERVICE_SHARED_SECRET contains the word secret",
        "BILLING_WEBHOOK_SECRETS is required",
        "which is a superuser",
    ] {
        assert!(billing.contains(problem), "{billing}");
    }
    for said in [gateway, billing] {
        let password = superuser.password().unwrap();
        assert!(!said.contains(SECRET) && !said.contains(password), "{said}");
    }
}
