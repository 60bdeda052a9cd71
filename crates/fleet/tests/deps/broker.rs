use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use careeros_fleet::broker::Broker;
use careeros_fleet::net::{Port, PortInUse};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::support::{directory, open, postgres};

const TOPIC: &str = "careeros.test.happened.v1";
const PATIENCE: Duration = Duration::from_secs(30);

fn client<T: FromClientConfig>(brokers: &str, settings: &[(&str, &str)]) -> T {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

async fn create_topic(brokers: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(brokers, &[]);
    let topic = NewTopic::new(TOPIC, partitions, TopicReplication::Fixed(1));
    let created = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert_eq!(created, [Ok(TOPIC.to_owned())]);
}

/// Publishes `numbers` as records of one batch or a few, and returns when all are acknowledged.
async fn publish(brokers: &str, numbers: std::ops::Range<u32>) {
    let settings = [("enable.idempotence", "true"), ("compression.type", "gzip"), ("linger.ms", "20")];
    let producer: FutureProducer = client(brokers, &settings);
    let sent: Vec<_> = numbers
        .map(|number| producer.send_result(FutureRecord::to(TOPIC).key("one").payload(&number.to_string())).unwrap())
        .collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }
}

fn consumer(brokers: &str) -> StreamConsumer {
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
async fn receive(consumer: &StreamConsumer) -> Result<OwnedMessage, KafkaError> {
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

async fn take(consumer: &StreamConsumer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        let message = receive(consumer).await.unwrap();
        numbers.push(std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap());
    }
    numbers
}

fn commit(consumer: &StreamConsumer, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(TOPIC, 0, Offset::Offset(offset)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

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
