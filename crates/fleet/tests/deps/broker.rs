//! The embedded broker under the clients that the services use.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use careeros_fleet::broker::Broker;
use careeros_fleet::net::{Port, PortInUse};
use rdkafka::admin::{AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::clients::{PATIENCE, TOPIC, admin, client, commit, consumer, create_topic, publish, receive, take};
use crate::support::{directory, open, postgres};

#[tokio::test]
async fn group_resumes_inside_a_batch_after_the_broker_restarted() {
    let directory = directory();
    let data = open(&directory);
    let broker = Broker::start(&data, Port::Any).await.unwrap();
    create_topic(&broker.bootstrap_servers(), 1).await;
    publish(&broker.bootstrap_servers(), 0..100).await;
    let reader = consumer(&broker.bootstrap_servers());
    assert_eq!(take(&reader, 37).await, (0..37).collect::<Vec<_>>());
    commit(&reader, 37);
    drop(reader);
    broker.stop().await.unwrap();

    let broker = Broker::start(&data, Port::Any).await.unwrap();
    publish(&broker.bootstrap_servers(), 100..120).await;
    let reader = consumer(&broker.bootstrap_servers());
    assert_eq!(take(&reader, 83).await, (37..120).collect::<Vec<_>>());
}

#[tokio::test]
async fn acknowledged_records_survive_a_kill_of_the_launcher() {
    let directory = directory();
    let mut launcher = Command::new(env!("CARGO_BIN_EXE_careeros-fleet"))
        .args(["deps", "--data"])
        .arg(directory.path())
        // The command ends when this test lets go of its input.
        .args(["--", "sh", "-c", "echo $TEST_KAFKA_BROKERS; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut brokers = String::new();
    BufReader::new(launcher.stdout.take().unwrap()).read_line(&mut brokers).unwrap();
    create_topic(brokers.trim(), 1).await;
    publish(brokers.trim(), 0..500).await;
    launcher.kill().unwrap();
    launcher.wait().unwrap();

    let data = open(&directory);
    let broker = Broker::start(&data, Port::Any).await.unwrap();
    assert_eq!(take(&consumer(&broker.bootstrap_servers()), 500).await, (0..500).collect::<Vec<_>>());
    // Ends the PostgreSQL that the killed launcher left.
    postgres(&data).await.stop().await.unwrap();
}

#[tokio::test]
async fn record_arrives_as_it_was_sent_and_on_its_keys_partition() {
    let directory = directory();
    let broker = Broker::start(&open(&directory), Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    create_topic(&brokers, 3).await;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "event_type", value: Some("UserRegistered") })
        .insert(Header { key: "correlation_id", value: None::<&str> });
    let producer: FutureProducer = client(&brokers, &[("enable.idempotence", "true")]);
    let record =
        FutureRecord::to(TOPIC).key("user-1").payload("{\"a\":1}").timestamp(1_767_225_600_123).headers(headers);
    let delivery = producer.send(record, PATIENCE).await.unwrap();

    let message = receive(&consumer(&brokers)).await.unwrap();
    assert_eq!((message.key(), message.payload()), (Some(b"user-1".as_slice()), Some(b"{\"a\":1}".as_slice())));
    assert_eq!(message.timestamp().to_millis(), Some(1_767_225_600_123));
    assert_eq!((message.partition(), message.offset()), (delivery.partition, delivery.offset));
    let headers = message.headers().unwrap();
    assert_eq!((headers.get(0).key, headers.get(0).value), ("event_type", Some(b"UserRegistered".as_slice())));
    assert_eq!((headers.get(1).key, headers.get(1).value), ("correlation_id", None));
}

#[tokio::test]
async fn waiting_consumer_is_woken_by_a_record() {
    let directory = directory();
    let broker = Broker::start(&open(&directory), Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    create_topic(&brokers, 1).await;
    let settings = [("group.id", "patient"), ("fetch.wait.max.ms", "200000"), ("socket.timeout.ms", "300000")];
    let reader: StreamConsumer = client(&brokers, &settings);
    let mut from_the_start = TopicPartitionList::new();
    from_the_start.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    reader.assign(&from_the_start).unwrap();
    publish(&brokers, 0..1).await;
    assert_eq!(take(&reader, 1).await, [0]);
    // The reader asks again at once and now waits for longer than this test does.
    publish(&brokers, 1..2).await;
    assert_eq!(take(&reader, 1).await, [1]);
}

#[tokio::test]
async fn topic_that_nobody_created_is_an_error_to_its_consumer() {
    let directory = directory();
    let broker = Broker::start(&open(&directory), Port::Any).await.unwrap();
    let error = receive(&consumer(&broker.bootstrap_servers())).await.unwrap_err();
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownTopicOrPartition));
}

#[tokio::test]
async fn taken_port_is_reported_with_the_variable_to_set() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = directory();
    let port = Port::Fixed { number: taken.local_addr().unwrap().port(), variable: "CAREEROS_KAFKA_PORT" };
    let error = Broker::start(&open(&directory), port).await.unwrap_err();
    assert_eq!(error.downcast_ref::<PortInUse>().expect("a port error").variable, "CAREEROS_KAFKA_PORT");
}

#[tokio::test]
async fn broker_takes_its_old_port_again_at_once() {
    let directory = directory();
    let data = open(&directory);
    let broker = Broker::start(&data, Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    create_topic(&brokers, 1).await;
    let reader = consumer(&brokers);
    publish(&brokers, 0..1).await;
    assert_eq!(take(&reader, 1).await, [0]);
    // With a client still connected.
    broker.stop().await.unwrap();
    let number = brokers.rsplit_once(':').unwrap().1.parse().unwrap();
    let _again = Broker::start(&data, Port::Fixed { number, variable: "CAREEROS_KAFKA_PORT" }).await.unwrap();
    publish(&brokers, 1..2).await;
    assert_eq!(take(&reader, 1).await, [1]);
    // It leaves its group while there is a broker to tell.
    drop(reader);
}

/// Sends one record of `bytes` bytes, uncompressed.
async fn send(producer: &FutureProducer, bytes: usize) -> Result<i64, KafkaError> {
    let payload = vec![b'x'; bytes];
    let sent = producer.send(FutureRecord::to(TOPIC).key("one").payload(&payload), PATIENCE).await;
    sent.map(|delivery| delivery.offset).map_err(|(error, _)| error)
}

#[tokio::test]
async fn record_larger_than_kafkas_limit_is_refused_and_the_next_is_taken() {
    let directory = directory();
    let broker = Broker::start(&open(&directory), Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    create_topic(&brokers, 1).await;
    // The client would refuse it first.
    let settings = [("enable.idempotence", "true"), ("message.max.bytes", "3000000")];
    let producer: FutureProducer = client(&brokers, &settings);
    let error = send(&producer, 1 << 20).await.unwrap_err();
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::MessageSizeTooLarge));
    assert_eq!(send(&producer, 1_000_000).await.unwrap(), 0);
}

#[tokio::test]
async fn topic_can_set_a_limit_of_its_own() {
    let directory = directory();
    let broker = Broker::start(&open(&directory), Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    let small = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "1000");
    assert_eq!(admin(&brokers).create_topics(&[small], &AdminOptions::new()).await.unwrap(), [Ok(TOPIC.to_owned())]);
    let producer: FutureProducer = client(&brokers, &[("enable.idempotence", "true")]);
    let error = send(&producer, 1_000).await.unwrap_err();
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::MessageSizeTooLarge));
    assert_eq!(send(&producer, 900).await.unwrap(), 0);
}

async fn grow(brokers: &str, topic: &str, count: usize) -> Result<String, RDKafkaErrorCode> {
    let answers = admin(brokers).create_partitions(&[NewPartitions::new(topic, count)], &AdminOptions::new()).await;
    answers.unwrap().remove(0).map_err(|(_, code)| code)
}

async fn send_to(brokers: &str, partition: i32, number: u32) {
    let producer: FutureProducer = client(brokers, &[("enable.idempotence", "true")]);
    let number = number.to_string();
    let record = FutureRecord::<str, _>::to(TOPIC).partition(partition).payload(&number);
    assert_eq!(producer.send(record, PATIENCE).await.unwrap().partition, partition);
}

#[tokio::test]
async fn topic_that_grew_keeps_its_records_and_takes_more_on_its_new_partitions() {
    let directory = directory();
    let data = open(&directory);
    let broker = Broker::start(&data, Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    create_topic(&brokers, 1).await;
    publish(&brokers, 0..10).await;
    assert_eq!(grow(&brokers, TOPIC, 3).await.unwrap(), TOPIC);
    send_to(&brokers, 2, 10).await;
    let reader = consumer(&brokers);
    let mut numbers = take(&reader, 11).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(TOPIC, 2, Offset::Offset(1)).unwrap();
    reader.commit(&offsets, rdkafka::consumer::CommitMode::Sync).unwrap();
    drop(reader);
    broker.stop().await.unwrap();

    let broker = Broker::start(&data, Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    send_to(&brokers, 2, 11).await;
    let reader = consumer(&brokers);
    // Partition 0 from its start, partition 2 from where it was committed.
    let mut numbers = take(&reader, 11).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).chain([11]).collect::<Vec<_>>());
}

#[tokio::test]
async fn topic_does_not_shrink_and_a_missing_one_does_not_grow() {
    let directory = directory();
    let broker = Broker::start(&open(&directory), Port::Any).await.unwrap();
    let brokers = broker.bootstrap_servers();
    create_topic(&brokers, 3).await;
    assert_eq!(grow(&brokers, TOPIC, 3).await, Err(RDKafkaErrorCode::InvalidPartitions));
    assert_eq!(grow(&brokers, TOPIC, 2).await, Err(RDKafkaErrorCode::InvalidPartitions));
    assert_eq!(grow(&brokers, "careeros.test.missing.v1", 2).await, Err(RDKafkaErrorCode::UnknownTopicOrPartition));
}

#[tokio::test]
async fn settings_of_a_topic_are_kept_and_a_change_is_refused() {
    let directory = directory();
    let broker = Broker::start(&open(&directory), Port::Any).await.unwrap();
    let admin = admin(&broker.bootstrap_servers());
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    assert_eq!(admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap(), [Ok(TOPIC.to_owned())]);
    let resource = ResourceSpecifier::Topic(TOPIC);
    let described = admin.describe_configs(&[resource], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let retention = described.entries.iter().find(|entry| entry.name == "retention.ms").expect("the setting");
    assert_eq!(retention.value.as_deref(), Some("-1"));
    let change = AlterConfig::new(resource).set("retention.ms", "1000");
    let error = admin.alter_configs([&change], &AdminOptions::new()).await.unwrap_err();
    assert!(error.to_string().contains("UnsupportedFeature"), "{error}");
}
