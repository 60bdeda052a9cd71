//! The running service between a real broker and a real database.

use careeros_edu_tracker::{MIGRATIONS, run};
use careeros_shared::{
    boot::{Boot, Listeners},
    clock::Clock,
    context::Context,
    env::Env,
    events::{Event, LessonCompleted},
    id, outbox,
    outbox::About,
    testing::{self, TestDb, TestUser},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::story;

/// What the service is started with: a database and a broker of the test run, and ports that are free.
async fn boot(db: &TestDb, clock: Clock, shutdown: CancellationToken) -> Boot {
    let variables = [
        ("APP_ENV", "test"),
        ("DATABASE_URL", &db.url),
        ("KAFKA_BROKERS", &testing::brokers()),
        ("SERVICE_SHARED_SECRET", "a-secret-for-tests-only"),
        ("LOG_LEVEL", "warn"),
    ];
    let env: Env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = Some(TcpListener::bind("127.0.0.1:0").await.unwrap());
    Boot { env, listeners: Some(Listeners { http, grpc }), shutdown, clock }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_from_the_broker_and_go_out_to_it() {
    let (ada, db, clock) = (TestUser::student(), TestDb::new(&MIGRATIONS).await, testing::clock());
    let context = Context::internal(clock.now());
    let about = About { tenant_id: ada.tenant_id, user_id: Some(ada.id) };
    // The service's own relay brings these to the topics that it reads, all with one key: poison between good ones.
    let mut tx = db.begin_system().await.unwrap();
    let lesson = |lesson, minutes| LessonCompleted {
        lesson_id: story::lesson_id(lesson),
        course_id: story::course_id(1),
        user_id: ada.id,
        completed_at: clock.now(),
        time_spent_minutes: minutes,
    };
    outbox::publish(&mut tx, &context, about, &lesson(1, 20)).await.unwrap();
    sqlx::query("insert into outbox (event_id, topic, key, headers, value) values ($1, $2, $3, '{}', 'no envelope')")
        .bind(id::new(clock.now()))
        .bind(LessonCompleted::TOPIC)
        .bind(ada.id.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    outbox::publish(&mut tx, &context, about, &lesson(2, 22)).await.unwrap();
    tx.commit().await.unwrap();

    let shutdown = CancellationToken::new();
    let service = tokio::spawn(run(boot(&db, clock, shutdown.clone()).await));
    testing::eventually("both lessons are counted", || async {
        let minutes = sqlx::query_scalar("select weekly_minutes from productivity_metrics where user_id = $1")
            .bind(ada.id)
            .fetch_optional(&db.admin)
            .await;
        minutes.unwrap() == Some(42)
    })
    .await;
    testing::eventually("what has changed is published", || async { db.outbox().await.is_empty() }).await;
    shutdown.cancel();
    service.await.unwrap().unwrap();
}
