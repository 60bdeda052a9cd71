//! The roadmap service as its clients see it, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod ai;
mod ai_updates;
mod drafts;
mod interview;
mod milestones;
mod recalculation;
mod roadmaps;

use careeros_roadmap::{MIGRATIONS, grpc::App};
use careeros_shared::{
    clock::Clock,
    id,
    proto::aicore::ai_core_service_client::AiCoreServiceClient,
    testing::{self, TestDb, TestService, TestUser},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ai::AiCore;

/// A service with a database of its own that knows `users`, and what it stands among.
struct World {
    service: TestService,
    db: TestDb,
    clock: Clock,
    ai: AiCore,
}

async fn start(users: &[&TestUser]) -> World {
    let (db, clock, ai) = (TestDb::new(&MIGRATIONS).await, testing::clock(), AiCore::default());
    let flows = TestService::new(&clock, ai.clone().routes(), |_| axum::Router::new());
    let app = App::new(db.clone(), testing::directory(users), AiCoreServiceClient::new(flows.transport));
    let service = TestService::new(&clock, app.routes(), careeros_rest::roadmaps::service_routes);
    World { service, db, clock, ai }
}

impl World {
    /// A roadmap of `user` in four weeks and two stages; its id.
    async fn roadmap(&self, user: &TestUser) -> String {
        let body = json!({"goalKey": "backend", "targetRole": "Backend Engineer", "timelineWeeks": 4,
            "stageTitles": ["Learn", "Build"]});
        let created = self.service.post(&user.token, "/roadmaps", body).await.expect(201);
        created.json["roadmap_id"].as_str().unwrap().to_owned()
    }

    async fn show(&self, user: &TestUser, roadmap_id: &str) -> Value {
        self.service.get(&user.token, &format!("/roadmaps/{roadmap_id}")).await.expect(200).json
    }

    /// The events in the outbox with what they changed.
    async fn events(&self) -> Vec<String> {
        let outbox = self.db.outbox().await;
        let told = outbox.iter().map(|(_, _, event)| match event.payload["change"].as_str() {
            Some(change) => format!("{} {change}", event.event_type),
            None => event.event_type.clone(),
        });
        told.collect()
    }

    async fn count(&self, table: &str) -> i64 {
        let count = format!("select count(*) from {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&self.db.admin).await.unwrap()
    }
}

/// An id that nothing else has.
fn any_id() -> Uuid {
    id::new(testing::start())
}

/// The dates of a roadmap's stages, first and last day.
fn dates(roadmap: &Value) -> Vec<(&str, &str)> {
    let stages = roadmap["stages"].as_array().unwrap();
    stages.iter().map(|stage| (stage["start_date"].as_str().unwrap(), stage["end_date"].as_str().unwrap())).collect()
}

/// The ids of the milestones of a stage.
fn milestones(roadmap: &Value, stage: usize) -> Vec<String> {
    let milestones = roadmap["stages"][stage]["milestones"].as_array().unwrap();
    milestones.iter().map(|milestone| milestone["milestone_id"].as_str().unwrap().to_owned()).collect()
}
