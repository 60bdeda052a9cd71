use careeros_shared::testing::{TestDb, eventually};
use rdkafka::{Message, message::Headers};

use crate::{Fixture, NO_MIGRATIONS, about, brokers, numbers, publish, read_until};

async fn waiting(db: &TestDb) -> i64 {
    sqlx::query_scalar("select count(*) from outbox").fetch_one(&db.admin).await.unwrap()
}

#[tokio::test]
async fn committed_events_reach_their_topic_in_order_and_leave_the_outbox() {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    let service = Fixture::start(&db, &brokers(), |_, _, _| {}).await;
    let about = about();
    for number in 0..60 {
        let mut tx = db.begin_system().await.unwrap();
        publish(&mut tx, about, number).await;
        if number % 3 == 0 {
            drop(tx);
        } else {
            tx.commit().await.unwrap();
        }
    }
    let committed: Vec<usize> = (0..60).filter(|number| number % 3 != 0).collect();
    assert_eq!(numbers(about, committed.len()).await, committed);
    eventually("the outbox is empty", async || waiting(&db).await == 0).await;

    let key = about.user_id.unwrap().to_string();
    let is_ours = |message: &rdkafka::message::OwnedMessage| message.key() == Some(key.as_bytes());
    let records = read_until(careeros_shared::events::TOPICS[3], |m| m.iter().any(is_ours)).await;
    let headers = records.iter().find(|m| is_ours(m)).unwrap().headers().unwrap();
    let names: Vec<_> = headers.iter().map(|header| header.key.to_owned()).collect();
    for name in ["event_type", "event_version", "correlation_id", "traceparent"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn with_the_broker_away_readiness_says_so_and_the_event_is_published_later() {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    let about = about();
    let cut_off = Fixture::start(&db, "127.0.0.1:1", |_, _, _| {}).await;
    let mut tx = db.begin_system().await.unwrap();
    publish(&mut tx, about, 7).await;
    tx.commit().await.unwrap();

    let ready = cut_off.get("/health/ready").await;
    assert_eq!(ready.status(), 503);
    let report: serde_json::Value = ready.json().await.unwrap();
    assert!(report["dependencies"]["broker"].as_str().unwrap().contains("KAFKA_BROKERS"), "{report}");
    assert_eq!(report["dependencies"]["database"], "ok");
    assert_eq!(cut_off.get("/health/live").await.status(), 200);
    cut_off.stop().await;
    assert_eq!(waiting(&db).await, 1);

    let connected = Fixture::start(&db, &brokers(), |_, _, _| {}).await;
    assert_eq!(numbers(about, 1).await, [7]);
    connected.stop().await;
}

#[tokio::test]
async fn one_relay_at_a_time_owns_an_outbox_and_another_takes_over() {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    let first = Fixture::start(&db, &brokers(), |_, _, _| {}).await;
    let second = Fixture::start(&db, &brokers(), |_, _, _| {}).await;
    let about = about();
    for number in 0..20 {
        let mut tx = db.begin_system().await.unwrap();
        publish(&mut tx, about, number).await;
        tx.commit().await.unwrap();
    }
    assert_eq!(numbers(about, 20).await, (0..20).collect::<Vec<_>>());
    first.stop().await;
    let mut tx = db.begin_system().await.unwrap();
    publish(&mut tx, about, 20).await;
    tx.commit().await.unwrap();
    assert_eq!(numbers(about, 21).await, (0..21).collect::<Vec<_>>());
    second.stop().await;
}
