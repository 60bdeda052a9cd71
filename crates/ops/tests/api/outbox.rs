//! Outboxes of services that run, and of one whose database is away.

use careeros_ops::{
    outbox,
    settings::{Service, Settings},
};
use careeros_shared::{
    events::{Event, UserLoggedIn},
    testing::{TestDb, eventually},
};
use sqlx::postgres::PgConnectOptions;

use crate::{Bench, number};

async fn park(db: &TestDb) -> i64 {
    sqlx::query_scalar(
        "insert into outbox (event_id, topic, key, headers, value, created_at, parked_at, last_error)
         values (gen_random_uuid(), $1, 'k', '{}', '{}', now() - interval '2 hours', now(), 'too large') returning seq",
    )
    .bind(UserLoggedIn::TOPIC)
    .fetch_one(&db.admin)
    .await
    .unwrap()
}

fn options(db: &TestDb) -> PgConnectOptions {
    let env = [("LMS_DATABASE_URL".to_owned(), db.url.clone())].into_iter().collect();
    Settings::new(env).databases(&[Service::Lms]).unwrap().remove(0).1
}

#[tokio::test]
async fn the_status_tells_waiting_from_parked_and_names_a_database_that_is_away() {
    let db = TestDb::new(&careeros_roadmap::MIGRATIONS).await;
    park(&db).await;
    sqlx::query(
        "insert into outbox (event_id, topic, key, headers, value, created_at)
         select gen_random_uuid(), 't', 'k', '{}', '{}', now() - age
         from unnest(array[interval '3 minutes', interval '5 seconds']) age",
    )
    .execute(&db.admin)
    .await
    .unwrap();
    let away = options(&db).port(1);
    let statuses = outbox::status(vec![(Service::Lms, options(&db)), (Service::Auth, away)]).await;
    let status = &statuses.0[0];
    assert_eq!((status.waiting, status.parked, &status.error), (2, 1, &None));
    assert!((179..200).contains(&status.oldest_seconds.unwrap()), "{status:?}");
    assert!(statuses.0[1].error.as_deref().unwrap().contains("cannot connect"), "{statuses:?}");
    assert!(!statuses.is_complete());
    let text = statuses.to_string();
    assert!(text.contains("lms") && text.contains("3 min") && text.contains("auth"), "{text}");
}

#[tokio::test]
async fn a_released_event_is_published_and_a_discarded_one_is_not() {
    let bench = Bench::start().await;
    let db = TestDb::new(&careeros_roadmap::MIGRATIONS).await;
    let service = bench.service(&db, careeros_roadmap::run).await;
    let (first, second, third) = (park(&db).await, park(&db).await, park(&db).await);
    let parked = outbox::parked(&options(&db)).await.unwrap();
    assert_eq!(parked.0.iter().map(|parked| parked.seq).collect::<Vec<_>>(), [first, second, third]);
    assert_eq!(parked.0[0].last_error.as_deref(), Some("too large"));

    outbox::discard(&options(&db), second).await.unwrap();
    outbox::release(&options(&db), Some(first)).await.unwrap();
    eventually("the relay takes it", async || number(&db, "select count(*) from outbox").await == 1).await;
    assert_eq!(outbox::release(&options(&db), None).await.unwrap().seqs, [third]);
    eventually("the relay takes it", async || number(&db, "select count(*) from outbox").await == 0).await;
    let partitions = bench.ops.partitions(&[UserLoggedIn::TOPIC]).await.unwrap();
    assert_eq!(partitions.iter().map(|partition| partition.high).sum::<i64>(), 2);

    for error in [
        outbox::release(&options(&db), Some(first)).await.unwrap_err(),
        outbox::discard(&options(&db), second).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("outbox parked"), "{error}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_event_that_waits_cannot_be_discarded() {
    let db = TestDb::new(&careeros_roadmap::MIGRATIONS).await;
    let seq = park(&db).await;
    outbox::release(&options(&db), None).await.unwrap();
    assert!(outbox::discard(&options(&db), seq).await.is_err());
    assert_eq!(number(&db, "select count(*) from outbox where parked_at is null").await, 1);
}
