use std::time::Duration;

use careeros_gateway::{config::Config, http, peers::Peers, throttle::Throttle};
use careeros_profile::{MIGRATIONS, grpc::App};
use careeros_shared::{
    clock::Clock,
    env::{Env, Reader},
    grpc::{self, Transport},
    testing::{self, TestDb, TestService, TestUser},
};
use tonic::service::Routes;

/// A port that nobody listens on.
pub(crate) const AWAY: &str = "127.0.0.1:1";

/// A gateway with `settings` over a profile service that knows `users`.
pub(crate) struct TestGateway {
    pub(crate) service: TestService,
    pub(crate) peers: Peers,
    pub(crate) clock: Clock,
    pub(crate) throttle: Throttle,
    pub(crate) _db: TestDb,
}

impl TestGateway {
    pub(crate) async fn start(settings: &[(&str, &str)], users: &[&TestUser]) -> Self {
        let clock = testing::clock();
        let db = TestDb::new(&MIGRATIONS).await;
        let app = App::new(db.clone(), testing::directory(users));
        let profile = TestService::new(&clock, app.routes(), |_| axum::Router::new());
        let peers = Peers { profile: profile.transport, ..nobody() };
        let config = read(settings);
        let throttle = Throttle::new(&config, clock.clone()).unwrap();
        tokio::spawn(throttle.clone().keep());
        let router = http::router(&peers, throttle.clone(), config.cors);
        let service = TestService::new(&clock, Routes::default(), |_| router);
        Self { service, peers, clock, throttle, _db: db }
    }
}

/// A gateway's settings.
pub(crate) fn read(settings: &[(&str, &str)]) -> Config {
    let env: Env = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut reader = Reader::new(&env);
    let config = Config::read(&mut reader);
    reader.finish().unwrap();
    config
}

/// `router` behind the edge that every service has.
pub(crate) fn bare(router: axum::Router) -> TestService {
    TestService::new(&testing::clock(), Routes::default(), |_| router)
}

/// Services that are all away.
pub(crate) fn nobody() -> Peers {
    let away = away();
    Peers {
        auth: away.clone(),
        profile: away.clone(),
        ai_core: away.clone(),
        roadmap: away.clone(),
        lms: away.clone(),
        edu_tracker: away.clone(),
        billing: away.clone(),
        analytics: away,
    }
}

fn away() -> Transport {
    grpc::connect(AWAY, &testing::service_secret("a-secret-for-tests-only"), Duration::from_secs(2)).unwrap()
}
