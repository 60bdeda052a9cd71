//! Reading the broker from outside: every record of the contract's topics, and how far the services have come with them.

use std::{collections::BTreeMap, time::Duration};

use careeros_shared::{events::TOPICS, testing};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, OwnedMessage},
};

const PATIENCE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A reader's own view of one broker.
#[derive(Clone)]
pub(crate) struct Bus {
    brokers: String,
}

impl Bus {
    pub(crate) fn new(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned() }
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
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
    fn ends(&self, topics: &[&str]) -> BTreeMap<(String, i32), i64> {
        let consumer = self.consumer("ends");
        let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
        let wanted = metadata.topics().iter().filter(|topic| topics.contains(&topic.name()));
        let partitions = wanted.flat_map(|topic| topic.partitions().iter().map(move |p| (topic.name(), p.id())));
        partitions
            .map(|(topic, partition)| {
                let (_, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT).unwrap();
                ((topic.to_owned(), partition), end)
            })
            .collect()
    }

    /// Every record that is on `topics` now.
    fn read(&self, topics: &[&str]) -> Vec<OwnedMessage> {
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

    /// Waits until `group` has committed everything that is on `topics`.
    pub(crate) async fn caught_up(&self, group: &'static str, topics: &'static [&'static str]) {
        let bus = self.clone();
        until(move || {
            let ends = bus.ends(topics);
            let mut asked = TopicPartitionList::new();
            for (topic, partition) in ends.keys() {
                asked.add_partition(topic, *partition);
            }
            let committed = bus.consumer(group).committed_offsets(asked, TIMEOUT).unwrap();
            for element in committed.elements() {
                let end = ends[&(element.topic().to_owned(), element.partition())];
                let done = element.offset().to_raw().unwrap_or(0).max(0);
                if done < end {
                    return Err(format!("{group} is at {done} of {end} of {}", element.topic()));
                }
            }
            Ok(())
        })
        .await;
    }
}

/// Asks off the runtime's threads until the answer is `Ok`, and fails with the last reason.
async fn until<T: Send + 'static>(mut ask: impl FnMut() -> Result<T, String> + Send + 'static) -> T {
    tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            match ask() {
                Ok(answer) => return answer,
                Err(reason) => assert!(std::time::Instant::now() < deadline, "after 30 s: {reason}"),
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
