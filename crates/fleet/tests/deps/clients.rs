//! Clients of a broker, as the services configure them.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub(crate) const TOPIC: &str = "careeros.test.happened.v1";
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn client<T: FromClientConfig>(brokers: &str, settings: &[(&str, &str)]) -> T {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

pub(crate) fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    client(brokers, &[])
}

pub(crate) async fn create_topic(brokers: &str, partitions: i32) {
    let admin = admin(brokers);
    let topic = NewTopic::new(TOPIC, partitions, TopicReplication::Fixed(1));
    let created = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert_eq!(created, [Ok(TOPIC.to_owned())]);
}

/// Publishes `numbers` as records of one batch or a few, and returns when all are acknowledged.
pub(crate) async fn publish(brokers: &str, numbers: std::ops::Range<u32>) {
    let settings = [("enable.idempotence", "true"), ("compression.type", "gzip"), ("linger.ms", "20")];
    let producer: FutureProducer = client(brokers, &settings);
    let sent: Vec<_> = numbers
        .map(|number| producer.send_result(FutureRecord::to(TOPIC).key("one").payload(&number.to_string())).unwrap())
        .collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }
}

pub(crate) fn consumer(brokers: &str) -> StreamConsumer {
    let consumer: StreamConsumer = client(
        brokers,
        &[
            ("group.id", "readers"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "6000"),
        ],
    );
    consumer.subscribe(&[TOPIC]).unwrap();
    consumer
}

/// The next record or error; a client that lost its broker says so and goes on trying.
pub(crate) async fn receive(consumer: &StreamConsumer) -> Result<OwnedMessage, KafkaError> {
    let next = async {
        loop {
            match consumer.recv().await {
                Err(error) if is_disconnect(&error) => {}
                received => return received.map(|message| message.detach()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a record in time")
}

fn is_disconnect(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure))
}

pub(crate) async fn take(consumer: &StreamConsumer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        let message = receive(consumer).await.unwrap();
        numbers.push(std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap());
    }
    numbers
}

pub(crate) fn commit(consumer: &StreamConsumer, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(TOPIC, 0, Offset::Offset(offset)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}
