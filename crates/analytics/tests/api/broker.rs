//! The service as it runs: from the topics over the consumer to the RPC.

use std::time::Duration;

use careeros_analytics::MIGRATIONS;
use careeros_shared::{
    boot::{Boot, Listeners},
    clock::Clock,
    context::Context,
    env::Env,
    grpc,
    outbox::{self, About},
    proto::analytics::{
        GetKpiSnapshotRequest, GetKpiSnapshotResponse, analytics_service_client::AnalyticsServiceClient,
    },
    testing::{self, TestDb},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{activity, projections::flow, rows};

const SECRET: &str = "a-secret-for-tests-only";

#[tokio::test]
async fn what_is_on_the_topics_comes_to_the_kpis_and_the_daily_table() {
    let db = TestDb::new(&MIGRATIONS).await;
    let clock = testing::clock();
    let (shutdown, address, service) = start(&db, &clock).await;

    let (tenant_id, user_id) = (testing::id(), testing::id());
    let about = About { tenant_id, user_id: Some(user_id) };
    // The service's own relay takes them to the broker.
    let context = Context::internal(clock.now());
    let mut tx = db.begin(tenant_id).await.unwrap();
    outbox::publish(&mut tx, &context, about, &activity(user_id)).await.unwrap();
    for _ in 0..2 {
        let run = flow("skill_gap_analysis", "SUCCESS", rust_decimal::dec!(0.25));
        outbox::publish(&mut tx, &context, about, &run).await.unwrap();
    }
    tx.commit().await.unwrap();

    let transport = grpc::connect(&address, &testing::service_secret(SECRET), Duration::from_secs(5)).unwrap();
    let client = AnalyticsServiceClient::new(transport);
    let expected =
        GetKpiSnapshotResponse { dau: 1, wau: 1, mau: 1, ai_runs: 2, ai_cost_usd: 0.5, ..Default::default() };
    testing::eventually("the events are counted", async || {
        let request = GetKpiSnapshotRequest { meta: None, tenant_id: tenant_id.to_string() };
        let answer = client.clone().get_kpi_snapshot(grpc::service_request(request, clock.now())).await;
        answer.is_ok_and(|kpis| kpis.into_inner() == expected)
    })
    .await;
    testing::eventually("the day has its row", async || {
        rows(&db, "select to_jsonb(k) from kpi_daily k where dau = 1 and day = '2026-01-06'").await.len() == 1
    })
    .await;

    shutdown.cancel();
    service.await.unwrap().unwrap();
}

type Running = tokio::task::JoinHandle<anyhow::Result<()>>;

async fn start(db: &TestDb, clock: &Clock) -> (CancellationToken, String, Running) {
    let env: Env = [
        ("SERVICE_SHARED_SECRET", SECRET),
        ("DATABASE_URL", &db.url),
        ("KAFKA_BROKERS", &testing::brokers()),
        ("LOG_LEVEL", "warn"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect();
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = grpc.local_addr().unwrap().to_string();
    let shutdown = CancellationToken::new();
    let boot = Boot {
        env,
        listeners: Some(Listeners { http, grpc: Some(grpc) }),
        shutdown: shutdown.clone(),
        clock: clock.clone(),
    };
    (shutdown, address, tokio::spawn(careeros_analytics::run(boot)))
}
