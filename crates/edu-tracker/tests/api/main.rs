//! The edu-tracker service as its clients and its events see it, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod broker;
mod catalogue;
mod progress;
mod projection;
mod published;
mod story;

use careeros_edu_tracker::{MIGRATIONS, events::Tracker, grpc::App};
use careeros_shared::{
    Result,
    clock::Clock,
    events::Envelope,
    identity::Role,
    testing::{self, TestDb, TestService, TestUser},
};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// A service with a database and a clock of its own that knows `users`.
struct Fixture {
    service: TestService,
    db: TestDb,
    clock: Clock,
}

async fn start(users: &[&TestUser]) -> Fixture {
    let (db, clock) = (TestDb::new(&MIGRATIONS).await, testing::clock());
    let app = App { db: db.clone(), directory: testing::directory(users) };
    let service = TestService::new(&clock, app.routes(), careeros_rest::edu_tracker::routes);
    Fixture { service, db, clock }
}

impl Fixture {
    /// Applies a batch as the consumer group does.
    async fn deliver(&self, events: &[Envelope]) -> Result<()> {
        testing::deliver(&self.db, careeros_edu_tracker::events::GROUP, Tracker { clock: self.clock.clone() }, events)
            .await
    }

    /// What the user reads now, with a token of now.
    async fn progress(&self, user: &TestUser) -> Value {
        let fresh = TestUser::at(user.id, user.tenant_id, &[Role::Student], self.clock.now().timestamp());
        self.service.get(&fresh.token, &format!("/edu-tracker/progress/{}", user.id)).await.expect(200).json
    }

    /// Sets the clock to `now`.
    fn travel(&self, now: &str) {
        self.clock.advance(instant(now) - self.clock.now());
    }
}

/// A time in RFC 3339.
fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
