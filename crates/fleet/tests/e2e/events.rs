//! Reading the broker from outside: every record of the contract's topics, and how far the services have come with them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use careeros_shared::{events::TOPICS, testing};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    message::{Headers as _, OwnedMessage},
};

const PATIENCE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// A reader's own view of one broker.
#[derive(Clone)]
pub(crate) struct Bus {
    brokers: String,
}

impl Bus {
    pub(crate) fn new(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned() }
    }

    pub(crate) fn consumer(&self, group: &str) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()
            .unwrap()
    }

    /// The names of all topics that exist.
    pub(crate) fn topics(&self) -> Vec<String> {
        let consumer = self.consumer("topics");
        let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// The end of each partition of `topics`.
    pub(crate) fn ends(&self, topics: &[&str]) -> BTreeMap<(String, i32), i64> {
        let consumer = self.consumer("ends");
        let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
        let wanted = metadata.topics().iter().filter(|topic| topics.contains(&topic.name()));
        let partitions = wanted.flat_map(|topic| topic.partitions().iter().map(move |p| (topic.name(), p.id())));
        partitions.map(|(topic, partition)| ((topic.to_owned(), partition), end(&consumer, topic, partition))).collect()
    }

    /// Every record that is on `topics` now.
    pub(crate) fn read(&self, topics: &[&str]) -> Vec<OwnedMessage> {
        let ends = self.ends(topics);
        let mut missing: i64 = ends.values().sum();
        let mut from = TopicPartitionList::new();
        for (topic, partition) in ends.keys() {
            from.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
        }
        let consumer = self.consumer(&format!("reader-{}", testing::id()));
        consumer.assign(&from).unwrap();
        let mut records = Vec::new();
        while missing > 0 {
            let message = consumer.poll(PATIENCE).expect("the record is there").unwrap();
            if message.offset() < ends[&(message.topic().to_owned(), message.partition())] {
                missing -= 1;
                records.push(message.detach());
            }
        }
        records
    }

    /// Every record of the contract's topics, once `enough` says so.
    pub(crate) async fn read_until(
        &self,
        enough: impl Fn(&[OwnedMessage]) -> Result<(), String> + Send + 'static,
    ) -> Vec<OwnedMessage> {
        let bus = self.clone();
        until(move || {
            let records = bus.read(&TOPICS);
            enough(&records).map(|()| records)
        })
        .await
    }

    /// Where `group` is not at the end of `topics`.
    pub(crate) fn behind(&self, group: &str, topics: &[&str]) -> Option<String> {
        let ends = self.ends(topics);
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in ends.keys() {
            asked.add_partition(topic, *partition);
        }
        let committed = self.consumer(group).committed_offsets(asked, TIMEOUT).unwrap();
        let behind = committed.elements().into_iter().filter_map(|element| {
            let end = ends[&(element.topic().to_owned(), element.partition())];
            let done = element.offset().to_raw().unwrap_or(0).max(0);
            (done < end).then(|| format!("at {done} of {end} of {} {}", element.topic(), element.partition()))
        });
        let behind: Vec<_> = behind.collect();
        (!behind.is_empty()).then(|| format!("{group} is {}", behind.join(", ")))
    }

    /// Waits until `group` has committed everything that is on `topics`.
    pub(crate) async fn caught_up(&self, group: &'static str, topics: &'static [&'static str]) {
        let bus = self.clone();
        until(move || bus.behind(group, topics).map_or(Ok(()), Err)).await;
    }
}

/// Asks off the runtime's threads until the answer is `Ok`, and fails with the last reason.
async fn until<T: Send + 'static>(mut ask: impl FnMut() -> Result<T, String> + Send + 'static) -> T {
    tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ask() {
                Ok(answer) => return answer,
                Err(reason) => assert!(Instant::now() < deadline, "after 30 s: {reason}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    })
    .await
    .unwrap()
}

/// The text of a record's header.
pub(crate) fn header<'a>(record: &'a OwnedMessage, name: &str) -> Option<&'a str> {
    let header = record.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()
}

/// The end of a partition. A broker that has just started leads its partitions only a moment later.
fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok((_, end)) => return end,
            Err(error) => {
                let passes = error.rdkafka_error_code() == Some(RDKafkaErrorCode::NotLeaderForPartition);
                assert!(passes && Instant::now() < deadline, "{topic}/{partition}: {error}");
                std::thread::sleep(POLL);
            }
        }
    }
}
