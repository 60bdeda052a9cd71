use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use careeros_shared::{outbox::About, testing};
use futures::future::join_all;
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

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_come_and_go_are_given_nothing_that_another_has_applied() {
    let group = Group::new(topic("rebalances").await).await;
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let write = async {
        let producer: FutureProducer = client().create().unwrap();
        while !done.load(Ordering::Relaxed) {
            // Of many users, so that every partition always has something new.
            let sends = (0..20).map(async |_| {
                let (about, number) = (about(), 100 + sent.fetch_add(1, Ordering::Relaxed));
                let (key, value) = (about.user_id.unwrap().to_string(), value(about, number));
                let record = FutureRecord::to(group.topic).key(&key).payload(&value);
                producer.send(record, Duration::from_secs(10)).await.unwrap();
            });
            join_all(sends).await;
        }
    };
    let rebalance = async {
        let first = group.join().await;
        for _ in 0..4 {
            group.join().await.stop().await;
        }
        done.store(true, Ordering::Relaxed);
        first
    };
    let ((), first) = tokio::join!(write, rebalance);
    let sent = sent.into_inner();
    group.applied(100..100 + sent).await;
    let counted = async |name: &str| -> Vec<String> {
        let metrics = first.get("/metrics").await.text().await.unwrap();
        let series = metrics.lines().filter(|line| line.starts_with(name) && line.contains(group.name));
        series.filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
    };
    let all = [sent.to_string()];
    testing::eventually("all are counted", async || counted("consumer_events_applied_total").await == all).await;
    assert_eq!(counted("consumer_events_duplicate_total").await, ["0"]);
    first.stop().await;
}
