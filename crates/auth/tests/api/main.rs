//! The auth service as its clients see it, on a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has to fail")]

mod invitations;
mod keys;
mod logins;
mod operators;
mod permissions;
mod refreshes;
mod registrations;
mod rotation;
mod service;
mod sessions;

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, header},
};
use careeros_auth::{
    MIGRATIONS,
    grpc::App,
    keys::Keys,
    passwords::Passwords,
    secrets::Secrets,
    tokens::{Issuer, Lifetimes},
};
use careeros_shared::{
    clock::Clock,
    db::Db,
    identity::Verifier,
    testing::{self, Answer, TestDb, TestService},
};
use chrono::TimeDelta;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";
const LIFETIMES: Lifetimes = Lifetimes { access: TimeDelta::minutes(15), refresh: TimeDelta::days(30) };

/// A service with a database of its own.
struct Auth {
    service: TestService,
    db: TestDb,
    clock: Clock,
    app: App,
}

/// Somebody with an account and a session.
#[derive(Debug, Clone)]
struct Account {
    id: String,
    tenant_id: String,
    token: String,
    refresh: String,
}

impl Account {
    fn of(answer: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        Self {
            id: text(&answer["userId"]),
            tenant_id: text(&answer["tenantId"]),
            token: text(&answer["tokens"]["accessToken"]),
            refresh: text(&answer["tokens"]["refreshToken"]),
        }
    }
}

async fn start() -> Auth {
    let db = TestDb::new(&MIGRATIONS).await;
    let clock = testing::clock();
    let app = replica(&db, "a-secret-for-tests-only");
    Auth { service: serve(&app, &clock), db, clock, app }
}

/// One more process of the service.
fn replica(db: &Db, secret: &str) -> App {
    let secrets = Secrets::new(&testing::service_secret(secret));
    let keys = Keys::new(db.clone(), &secrets, Verifier::local(), LIFETIMES.access);
    App { db: db.clone(), passwords: Passwords::new(2), issuer: Issuer { keys, secrets, lifetimes: LIFETIMES } }
}

fn serve(app: &App, clock: &Clock) -> TestService {
    TestService::with_verifier(clock, app.issuer.keys.verifier().clone(), app.clone().routes(), |transport| {
        careeros_rest::auth::routes(transport.clone()).merge(careeros_rest::auth::well_known(transport))
    })
}

impl Auth {
    async fn register(&self, email: &str) -> Account {
        let body = json!({"email": email, "password": PASSWORD});
        Account::of(&self.service.post("", "/auth/register", body).await.expect(201).json)
    }

    async fn login(&self, email: &str) -> Account {
        Account::of(&self.try_login(email, PASSWORD).await.expect(200).json)
    }

    async fn try_login(&self, email: &str, password: &str) -> Answer {
        self.service.post("", "/auth/login", json!({"email": email, "password": password})).await
    }

    async fn try_login_from(&self, address: &str, email: &str, password: &str) -> Answer {
        let peer = SocketAddr::new(address.parse().unwrap(), 4711);
        let body = json!({"email": email, "password": password}).to_string();
        let request = Request::post("/auth/login").header(header::CONTENT_TYPE, "application/json");
        let request = request.extension(ConnectInfo(peer)).body(Body::from(body)).unwrap();
        self.service.send(request).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.service.post("", "/auth/refresh", json!({"refreshToken": token})).await
    }

    async fn refresh_once(&self, token: &str, key: &str) -> Answer {
        self.service.post_once("", "/auth/refresh", key, json!({"refreshToken": token})).await
    }

    async fn validate(&self, token: &str) -> Value {
        self.service.post("", "/auth/validate-token", json!({"accessToken": token})).await.expect(200).json
    }

    async fn count(&self, table: &'static str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(&self.db.admin)
            .await
            .unwrap()
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.db.admin).await.unwrap();
    }

    /// Everything that the database holds, as text; in bytea, what is legible stays so.
    async fn dump(&self) -> String {
        let mut connection = self.db.admin.acquire().await.unwrap();
        sqlx::query("set bytea_output = 'escape'").execute(&mut *connection).await.unwrap();
        let tables: Vec<String> =
            sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
                .fetch_all(&mut *connection)
                .await
                .unwrap();
        let mut dump = String::new();
        for table in tables {
            let rows = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
            let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut *connection).await.unwrap();
            dump.push_str(&rows.join("\n"));
        }
        dump
    }
}
