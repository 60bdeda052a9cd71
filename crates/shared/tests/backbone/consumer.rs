use std::time::Duration;

use careeros_shared::outbox::About;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::{
    about, client,
    tally::{Group, value},
    topic,
};

async fn send(topic: &str, about: About, values: &[String]) {
    let producer: FutureProducer = client().create().unwrap();
    let key = about.user_id.unwrap().to_string();
    for value in values {
        producer.send(FutureRecord::to(topic).key(&key).payload(value), Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test]
async fn a_redelivered_event_counts_once() {
    let (topic, about) = (topic("redelivery").await, about());
    let group = Group::new(topic).await;
    let service = group.start().await;
    let (first, second) = (value(about, 1), value(about, 2));
    send(topic, about, &[first.clone(), first.clone(), second.clone(), first, second, value(about, 3)]).await;
    group.applied([1, 2, 3]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_consumer_that_starts_again_goes_on_where_it_was() {
    let (topic, about) = (topic("restart").await, about());
    let group = Group::new(topic).await;
    for round in 1..=3 {
        let service = group.start().await;
        send(topic, about, &[value(about, round)]).await;
        group.applied(1..=round).await;
        service.stop().await;
    }
}
