//! Odd input and odd surroundings, each with its defined outcome: records that are too large, topics that cannot be, are
//! not yet or grow, clocks that jump.

use std::time::Duration;

use careeros_shared::{
    context::Context,
    events::{Envelope, ProfileUpdated},
    outbox::{self, About, Row},
    testing::{self, TestDb, eventually},
};
use chrono::TimeDelta;
use rdkafka::{
    Message,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::OwnedMessage,
    producer::{FutureProducer, FutureRecord},
};

use crate::{
    Fixture, NO_MIGRATIONS, about, brokers, client, event, number_of, read_until,
    tally::{Group, value},
    topic,
};

/// An event for `topic` as a row of the outbox.
fn row(topic: &'static str, about: About, number: usize) -> Row {
    Row { topic, ..Row::new(&Context::internal(testing::start()), about, &event(about, number)).unwrap() }
}

/// Text of `length` bytes that no compression makes much smaller.
fn noise(length: usize) -> String {
    let mut text = String::with_capacity(length + 32);
    while text.len() < length {
        text.push_str(&testing::id().simple().to_string());
    }
    text
}

/// An event whose value has more than `bytes` bytes.
fn large(topic: &'static str, about: About, number: usize, bytes: usize) -> Row {
    let updated_fields = vec![number.to_string(), noise(bytes)];
    let event = ProfileUpdated { user_id: about.user_id.unwrap(), updated_fields, timezone: None };
    Row { topic, ..Row::new(&Context::internal(testing::start()), about, &event).unwrap() }
}

async fn commit(db: &TestDb, rows: &[Row]) {
    let mut tx = db.begin_system().await.unwrap();
    outbox::publish_all(&mut tx, rows.iter().cloned()).await.unwrap();
    tx.commit().await.unwrap();
}

/// The rows in the outbox: topic, and what is said of it where it is parked.
async fn outbox(db: &TestDb) -> Vec<(String, Option<String>)> {
    sqlx::query_as("select topic, case when parked_at is null then null else coalesce(last_error, '') end from outbox")
        .fetch_all(&db.admin)
        .await
        .unwrap()
}

/// The numbers on `topic` in its order per partition, once there are `count`.
async fn numbers_on(topic: &str, count: usize) -> Vec<usize> {
    let messages = read_until(topic, |messages| messages.len() >= count).await;
    messages.iter().map(|message| number_of(&Envelope::parse(message.payload().unwrap()).unwrap())).collect()
}

/// Publishes small records around one of `bytes`, which the broker does not take.
async fn park_one_of(topic: &'static str, bytes: usize) {
    let (db, about) = (TestDb::new(&NO_MIGRATIONS).await, about());
    // All of one key, so that they share partition and batch.
    let rows: Vec<Row> = (0..60)
        .map(|number| if number == 30 { large(topic, about, number, bytes) } else { row(topic, about, number) })
        .collect();
    commit(&db, &rows).await;
    let service = Fixture::start(&db, &brokers(), |_, _, _| {}).await;
    let expected: Vec<usize> = (0..60).filter(|number| *number != 30).collect();
    let mut came = numbers_on(topic, expected.len()).await;
    // A batch that was refused for one of its records is sent again.
    let mut seen = std::collections::HashSet::new();
    came.retain(|number| seen.insert(*number));
    assert_eq!(came, expected);
    eventually("only the large event is left", async || outbox(&db).await.len() == 1).await;
    eventually("it is parked", async || outbox(&db).await[0].1.is_some()).await;
    let error = outbox(&db).await.remove(0).1.unwrap();
    assert!(error.contains(&rows[30].value.len().to_string()) && error.contains("larger"), "{error}");

    commit(&db, &[row(topic, about, 60)]).await;
    eventually("later events go on", async || outbox(&db).await.len() == 1).await;
    service.stop().await;
}

#[tokio::test]
async fn a_record_that_is_too_large_is_parked_and_no_other_with_it() {
    park_one_of(topic("large").await, 1_100_000).await;
}

#[tokio::test]
async fn a_record_that_its_topic_takes_not_is_parked_and_no_other_of_its_batch() {
    let name: &'static str = Box::leak(format!("careeros.test.small-{}.v1", testing::id().simple()).into_boxed_str());
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let small = NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "30000");
    admin.create_topics(&[small], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    park_one_of(name, 200_000).await;
}

#[tokio::test]
async fn an_event_whose_topic_cannot_be_is_parked_and_holds_up_no_other() {
    let (db, about) = (TestDb::new(&NO_MIGRATIONS).await, about());
    let topic = topic("possible").await;
    let impossible = "careeros.test/no topic!";
    commit(&db, &[row(topic, about, 1), row(impossible, about, 2), row(topic, about, 3)]).await;
    let service = Fixture::start(&db, &brokers(), |_, _, _| {}).await;
    assert_eq!(numbers_on(topic, 2).await, [1, 3]);
    commit(&db, &[row(topic, about, 4)]).await;
    assert_eq!(numbers_on(topic, 3).await, [1, 3, 4]);
    eventually("it alone is left", async || outbox(&db).await.len() == 1).await;
    let (left, error) = outbox(&db).await.remove(0);
    assert_eq!(left, impossible);
    assert!(error.as_deref().is_some_and(|error| error.contains(impossible)), "{error:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_yet_is_made_by_its_first_event_and_found_by_its_readers() {
    let topic: &'static str = Box::leak(format!("careeros.test.late-{}.v1", testing::id().simple()).into_boxed_str());
    let (group, about) = (Group::new(topic).await, about());
    let service = group.start().await;
    // The reader has asked for it in vain by the time that something of another topic is through.
    commit(&group.db, &[row(crate::topic("early").await, about, 1)]).await;
    eventually("the relay works", async || outbox(&group.db).await.is_empty()).await;
    commit(&group.db, &[row(topic, about, 2), row(topic, about, 3)]).await;
    group.applied([2, 3]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_changes_neither_order_nor_makes_ages_negative() {
    let (db, about, topic) = (TestDb::new(&NO_MIGRATIONS).await, about(), topic("clock").await);
    let jumps = [0, 3, -5, 30, -48, 1, 0, -1];
    for (number, hours) in jumps.iter().enumerate() {
        let context = Context::internal(testing::start() + TimeDelta::hours(*hours));
        let row = Row { topic, ..Row::new(&context, about, &event(about, number)).unwrap() };
        let mut tx = db.begin_system().await.unwrap();
        outbox::publish_all(&mut tx, [row]).await.unwrap();
        tx.commit().await.unwrap();
    }
    sqlx::query("update outbox set created_at = now() + (created_at - $1) + interval '3 days'")
        .bind(testing::start())
        .execute(&db.admin)
        .await
        .unwrap();
    let backlog = outbox::backlog(&db).await.unwrap();
    assert_eq!((backlog.waiting, backlog.oldest_age, backlog.parked), (8, 0.0, 0), "all of it is in the future");

    let service = Fixture::start(&db, &brokers(), |_, _, _| {}).await;
    let messages = read_until(topic, |messages| messages.len() >= jumps.len()).await;
    let envelopes: Vec<Envelope> =
        messages.iter().map(|message| Envelope::parse(message.payload().unwrap()).unwrap()).collect();
    assert_eq!(envelopes.iter().map(number_of).collect::<Vec<_>>(), (0..jumps.len()).collect::<Vec<_>>());
    // Each says when it happened by the clock of its time.
    let hours: Vec<i64> =
        envelopes.iter().map(|envelope| (envelope.occurred_at - testing::start()).num_hours()).collect();
    assert_eq!(hours, jumps);
    service.stop().await;
}

/// Lets `topic` have `count` partitions.
async fn grow(topic: &str, count: usize) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let grown = admin.create_partitions(&[NewPartitions::new(topic, count)], &AdminOptions::new()).await.unwrap();
    assert!(matches!(grown.as_slice(), [Ok(_)]), "{grown:?}");
}

#[tokio::test]
async fn partitions_that_are_added_lose_nothing_and_are_read() {
    let (topic, about) = (topic("growth").await, about());
    let group = Group::new(topic).await;
    let service = group.start().await;
    commit(&group.db, &(100..120).map(|number| row(topic, about, number)).collect::<Vec<_>>()).await;
    group.applied(100..120).await;
    grow(topic, 6).await;
    commit(&group.db, &(120..140).map(|number| row(topic, about, number)).collect::<Vec<_>>()).await;
    let producer: FutureProducer = client().create().unwrap();
    let mut number = 140;
    for partition in 0..6 {
        let value = value(about, number);
        let record = FutureRecord::<str, str>::to(topic).partition(partition).payload(&value);
        producer.send(record, Duration::from_secs(10)).await.unwrap();
        number += 1;
    }
    group.applied(100..number).await;
    let on = |messages: &[OwnedMessage]| messages.iter().map(OwnedMessage::partition).max();
    assert_eq!(on(&read_until(topic, |messages| messages.len() >= 46).await), Some(5));
    service.stop().await;
}
