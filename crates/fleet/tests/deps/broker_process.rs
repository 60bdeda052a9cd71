//! Brokers as processes: the embedded one, or Apache Kafka where `CAREEROS_TEST_BROKER` says so.

use std::path::Path;
use std::time::Duration;

use careeros_fleet::broker_process::{BrokerProcess, Kind};
use careeros_fleet::data::DataDir;
use careeros_fleet::net::{Port, PortInUse};
use careeros_shared::env::Env;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use tempfile::TempDir;

use crate::clients::{client, consumer, create_topic, publish, take};
use crate::support::directory;

const LAUNCHER: &str = env!("CARGO_BIN_EXE_careeros-fleet");

async fn start(directory: &TempDir) -> BrokerProcess {
    let kind = Kind::from_env(&Env::from_process()).unwrap();
    BrokerProcess::start(kind, directory.path(), Port::Any, Path::new(LAUNCHER)).await.unwrap()
}

/// Asks the broker about itself.
async fn ask(brokers: &str) -> Result<(), KafkaError> {
    let client: BaseConsumer = client(brokers, &[]);
    let asked = tokio::task::spawn_blocking(move || client.fetch_metadata(None, Duration::from_secs(1)).map(drop));
    asked.await.unwrap()
}

#[tokio::test]
async fn acknowledged_records_are_there_after_a_kill_and_a_restart_on_the_same_port() {
    let directory = directory();
    let mut broker = start(&directory).await;
    let brokers = broker.bootstrap_servers();
    create_topic(&brokers, 1).await;
    for round in 0..3 {
        publish(&brokers, round * 200..(round + 1) * 200).await;
        broker.kill().await.unwrap();
        ask(&brokers).await.unwrap_err();
        broker.restart().await.unwrap();
    }
    assert_eq!(broker.bootstrap_servers(), brokers);
    let reader = consumer(&brokers);
    assert_eq!(take(&reader, 600).await, (0..600).collect::<Vec<_>>());
    drop(reader);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn paused_broker_answers_nothing_until_it_goes_on() {
    let directory = directory();
    let mut broker = start(&directory).await;
    let brokers = broker.bootstrap_servers();
    broker.pause().await.unwrap();
    ask(&brokers).await.unwrap_err();
    broker.resume().await.unwrap();
    ask(&brokers).await.unwrap();
    // It ends even where it does not run on.
    broker.pause().await.unwrap();
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn broker_that_was_stopped_starts_again_on_its_data() {
    let directory = directory();
    let broker = start(&directory).await;
    create_topic(&broker.bootstrap_servers(), 1).await;
    publish(&broker.bootstrap_servers(), 0..10).await;
    broker.stop().await.unwrap();
    let broker = start(&directory).await;
    assert_eq!(take(&consumer(&broker.bootstrap_servers()), 10).await, (0..10).collect::<Vec<_>>());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn broker_dies_with_whoever_started_it() {
    let directory = directory();
    let starter = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let broker = runtime.block_on(start(&directory));
        let servers = broker.bootstrap_servers();
        // As if killed: nothing is dropped.
        std::mem::forget(broker);
        (directory, servers)
    });
    let (_directory, brokers) = starter.join().unwrap();
    let address = brokers.parse().unwrap();
    let gone = async {
        while std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the broker ends");
}

#[tokio::test]
async fn start_that_fails_says_why() {
    let directory = directory();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Port::Fixed { number: taken.local_addr().unwrap().port(), variable: "CAREEROS_BROKER_PORT" };
    let launcher = Path::new(LAUNCHER);
    let error = BrokerProcess::start(Kind::Embedded, directory.path(), port, launcher).await.unwrap_err();
    assert_eq!(error.downcast_ref::<PortInUse>().expect("a port error").variable, "CAREEROS_BROKER_PORT");

    let _held = DataDir::open(&directory.path().join("broker-process")).unwrap();
    let error = BrokerProcess::start(Kind::Embedded, directory.path(), Port::Any, launcher).await.unwrap_err();
    assert!(error.to_string().contains("in use by another launcher"), "{error}");
}
