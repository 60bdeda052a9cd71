//! The analytics service as its clients and the broker see it, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod broker;
mod daily;
mod happenings;
mod kpis;
mod mrr;
mod projections;
mod replay;

use careeros_analytics::{
    MIGRATIONS, daily as kpi_daily,
    events::{GROUP, Projections},
    grpc::App,
};
use careeros_shared::{
    clock::Clock,
    db::Db,
    events::{Envelope, Event, SkillsUpdated},
    identity::Role,
    testing::{self, TestDb, TestService, TestUser},
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// A service with a database and a clock of its own.
struct Fixture {
    service: TestService,
    db: TestDb,
    clock: Clock,
    /// The ADMIN of `tenant`.
    admin: TestUser,
    tenant: Uuid,
}

impl Fixture {
    async fn start() -> Self {
        let (db, clock) = (TestDb::new(&MIGRATIONS).await, testing::clock());
        let service = TestService::new(&clock, App { db: db.clone() }.routes(), careeros_rest::analytics::routes);
        let tenant = testing::id();
        Self { service, db, clock, admin: TestUser::new(tenant, &[Role::Admin]), tenant }
    }

    async fn deliver(&self, events: &[Envelope]) {
        deliver(&self.db, events).await;
    }

    /// An event of `tenant`'s at `at`.
    fn event<E: Event>(&self, at: &str, user_id: Option<Uuid>, event: &E) -> Envelope {
        testing::envelope(self.tenant, user_id, time(at), event)
    }

    /// `user_id` did something at `at`.
    fn seen(&self, at: &str, user_id: Uuid) -> Envelope {
        self.event(at, Some(user_id), &activity(user_id))
    }

    /// The tenant's KPIs when it is `at`, with a token that is valid then.
    async fn kpis(&self, at: &str) -> Value {
        self.kpis_of(self.tenant, at).await
    }

    async fn kpis_of(&self, tenant: Uuid, at: &str) -> Value {
        self.clock.advance(time(at) - self.clock.now());
        let admin = TestUser::at(self.admin.id, tenant, &[Role::Admin], time(at).timestamp());
        self.service.get(&admin.token, &format!("/analytics/kpi/{tenant}")).await.expect(200).json
    }

    /// Sets the tenant's time zone as an operator does.
    async fn set_time_zone(&self, zone: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.db.begin_system().await.unwrap();
        sqlx::query(
            "insert into tenant_settings (tenant_id, time_zone) values ($1, $2)
             on conflict on constraint tenant_settings_pkey do update set time_zone = excluded.time_zone",
        )
        .bind(self.tenant)
        .bind(zone)
        .execute(&mut *tx)
        .await?;
        tx.commit().await.unwrap();
        Ok(())
    }
}

/// What a user does when it does not matter what.
fn activity(user_id: Uuid) -> SkillsUpdated {
    SkillsUpdated { user_id, skill_key: "rust".into(), proficiency: 50.0 }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn deliver(db: &Db, events: &[Envelope]) {
    testing::deliver(db, GROUP, Projections, events).await.unwrap();
}

/// Brings `kpi_daily` up to date for `now`.
async fn count_days(db: &Db, now: DateTime<Utc>) {
    while kpi_daily::step(db, now).await.unwrap().more {}
}

/// The rows of a query that returns JSON.
async fn rows(db: &TestDb, sql: &'static str) -> Vec<Value> {
    sqlx::query_scalar(sql).fetch_all(&db.admin).await.unwrap()
}
