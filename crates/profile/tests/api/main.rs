//! The user profile service as its clients see it, on a real PostgreSQL.

mod profiles;
mod skills;

use careeros_profile::{MIGRATIONS, grpc::App};
use careeros_shared::testing::{self, TestDb, TestService, TestUser};

/// A service with a database of its own that knows `users`.
async fn start(users: &[&TestUser]) -> (TestService, TestDb) {
    let db = TestDb::new(&MIGRATIONS).await;
    let app = App::new(db.clone(), testing::directory(users));
    let service = TestService::new(&testing::clock(), app.routes(), careeros_rest::profiles::routes);
    (service, db)
}
