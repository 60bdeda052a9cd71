use std::{collections::HashMap, time::Duration};

use careeros_shared::{
    Error, Result,
    consumer::{Consumer, Handler},
    db::Tx,
    events::{Envelope, Event, ProfileUpdated},
    outbox::About,
    testing::{self, TestDb, eventually},
};
use rdkafka::{
    ClientConfig, Message,
    message::{Headers, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};

use crate::{Fixture, NO_MIGRATIONS, about, brokers, event, read_until};

/// Writes what it is given into a table of its own, and fails on the number 13.
struct Tally;

impl Handler for Tally {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        for envelope in events {
            let number = envelope.payload::<ProfileUpdated>()?.updated_fields[0].clone();
            if number == "13" {
                return Err(Error::internal(anyhow::anyhow!("thirteen")));
            }
            sqlx::query("insert into tally (tenant_id, number) values ($1, $2)")
                .bind(&envelope.tenant_id)
                .bind(number)
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}

/// A database with the table that [`Tally`] writes.
async fn database() -> TestDb {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    sqlx::query("create table tally (tenant_id text, number text)").execute(&db.admin).await.unwrap();
    db
}

async fn start(db: &TestDb) -> Fixture {
    let group: &'static str = Box::leak(format!("tally-{}", testing::id()).into_boxed_str());
    Fixture::start(db, &brokers(), move |runtime, db, kafka| {
        runtime.consume(db, kafka, Consumer { group, topics: &[ProfileUpdated::TOPIC], handler: Tally });
    })
    .await
}

async fn tally(db: &TestDb, about: About) -> HashMap<String, i64> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select number, count(*) from tally where tenant_id = $1 group by number")
            .bind(about.tenant_id.to_string())
            .fetch_all(&db.admin)
            .await
            .unwrap();
    rows.into_iter().collect()
}

async fn send(about: About, values: &[String]) {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let key = about.user_id.unwrap().to_string();
    for value in values {
        let record = FutureRecord::to(ProfileUpdated::TOPIC).key(&key).payload(value);
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
}

fn value(about: About, number: usize) -> String {
    let envelope = testing::envelope(about.tenant_id, about.user_id, testing::start(), &event(about, number));
    serde_json::to_string(&envelope).unwrap()
}

#[tokio::test]
async fn a_redelivered_event_counts_once() {
    let db = database().await;
    let service = start(&db).await;
    let about = about();
    let (first, second) = (value(about, 1), value(about, 2));
    send(about, &[first.clone(), first.clone(), second.clone(), first, second]).await;
    send(about, &[value(about, 3)]).await;
    eventually("the last event is applied", async || tally(&db, about).await.contains_key("3")).await;
    assert_eq!(tally(&db, about).await, HashMap::from(["1", "2", "3"].map(|number| (number.to_owned(), 1))));
    service.stop().await;
}

#[tokio::test]
async fn poison_goes_to_the_dead_letter_topic_and_blocks_nobody() {
    let db = database().await;
    let service = start(&db).await;
    let about = about();
    let no_envelope = serde_json::json!({"tenant_id": about.tenant_id, "hello": 1}).to_string();
    let mut no_payload: serde_json::Value = serde_json::from_str(&value(about, 4)).unwrap();
    no_payload["payload"] = serde_json::json!({"user_id": 7});
    let poison = ["{ not json".to_owned(), no_envelope, no_payload.to_string(), value(about, 13)];
    let mut all = vec![value(about, 1)];
    all.extend(poison.clone());
    all.push(value(about, 2));
    send(about, &all).await;
    eventually("the event after the poison is applied", async || tally(&db, about).await.contains_key("2")).await;
    assert_eq!(tally(&db, about).await.len(), 2);

    let topic = format!("{}.dlq", ProfileUpdated::TOPIC);
    let key = about.user_id.unwrap().to_string();
    let ours = |messages: &[OwnedMessage]| -> Vec<OwnedMessage> {
        messages.iter().filter(|m| m.key() == Some(key.as_bytes())).cloned().collect()
    };
    let holds = |dead: &[OwnedMessage], value: &str| dead.iter().any(|m| m.payload() == Some(value.as_bytes()));
    // The services of other tests bury the same records in the name of their own groups.
    let all_dead = |messages: &[OwnedMessage]| poison.iter().all(|value| holds(&ours(messages), value));
    let dead = ours(&read_until(&topic, all_dead).await);
    let headers = dead[0].headers().unwrap();
    let of = |name: &str| {
        let header = headers.iter().find(|header| header.key == name);
        String::from_utf8(header.and_then(|h| h.value).unwrap_or_default().to_vec()).unwrap()
    };
    assert_eq!(of("dlq.topic"), ProfileUpdated::TOPIC);
    assert!(of("dlq.offset").parse::<i64>().is_ok() && of("dlq.partition").parse::<i32>().is_ok());
    assert!(!of("dlq.error").is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_consumer_that_starts_again_goes_on_where_it_was() {
    let db = database().await;
    let about = about();
    let group: &'static str = Box::leak(format!("tally-{}", testing::id()).into_boxed_str());
    for round in 1..=3 {
        let service = Fixture::start(&db, &brokers(), move |runtime, db, kafka| {
            runtime.consume(db, kafka, Consumer { group, topics: &[ProfileUpdated::TOPIC], handler: Tally });
        })
        .await;
        send(about, &[value(about, round)]).await;
        eventually("the round's event is applied", async || tally(&db, about).await.len() == round).await;
        service.stop().await;
    }
    assert!(tally(&db, about).await.values().all(|count| *count == 1));
}
