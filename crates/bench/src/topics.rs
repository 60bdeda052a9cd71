//! Topics: filling them with made-up records, how much is on them, and reading it back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use careeros_shared::{dead_letter, kafka::Kafka};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
    metadata::MetadataTopic,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{generate::Record, report::Report};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The topics of a broker.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    client: ClientConfig,
}

/// The offset after the last record, by topic and partition.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ends(BTreeMap<(String, i32), i64>);

impl Ends {
    /// How many records lie before them.
    pub(crate) fn count(&self) -> u64 {
        self.0.values().map(|end| end.unsigned_abs()).sum()
    }
}

impl Topics {
    /// Those that services reach by `kafka`.
    pub(crate) fn new(kafka: &Kafka) -> Self {
        Self { client: kafka.client() }
    }

    /// Writes records to their topics, and gives back what has made them.
    pub(crate) async fn fill<I>(&self, records: I) -> Result<I>
    where
        I: Iterator<Item = Result<Record>> + Send + 'static,
    {
        self.blocking(|client| fill(client, records)).await
    }

    /// The ends of all partitions of `topics`, those of topics that do not exist left out.
    pub(crate) async fn ends<I>(&self, topics: I) -> Result<Ends>
    where
        I: IntoIterator<Item = &'static str> + Send + 'static,
    {
        self.blocking(|client| ends(client, topics)).await
    }

    /// The ends once there are `count` records more than before `before`, or after some patience.
    pub(crate) async fn grown(&self, topic: &'static str, before: &Ends, count: u64) -> Result<Ends> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ends = self.ends([topic]).await?;
            if ends.count() >= before.count() + count || Instant::now() > deadline {
                return Ok(ends);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Hands every record from `from` (the beginning where a partition is missing there) up to `to` to `each`, which adds it
    /// to `read`.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        (from, to): (Ends, Ends),
        mut read: T,
        each: fn(&mut T, &BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<T> {
        self.blocking(move |client| {
            self::read(client, &from, &to, |message| each(&mut read, message))?;
            Ok(read)
        })
        .await
    }

    /// Checks that no consumer has given an event up.
    pub(crate) async fn check_dead_letters(&self, report: &mut Report) -> Result<()> {
        let found = self.blocking(|client| named(client, dead_letter::SUFFIX)).await?;
        report.check("dead-letter topics", &"", &found.join(" "));
        Ok(())
    }

    /// The client's calls block.
    async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ClientConfig) -> Result<T> + Send + 'static,
    {
        let client = self.client.clone();
        tokio::task::spawn_blocking(move || work(&client)).await?
    }
}

fn fill<I: Iterator<Item = Result<Record>>>(client: &ClientConfig, mut records: I) -> Result<I> {
    let mut config = client.clone();
    config.set("linger.ms", "20").set("compression.type", "lz4").set("enable.idempotence", "true");
    let producer: BaseProducer = config.create()?;
    for record in records.by_ref() {
        let Record { topic, key, value } = record?;
        let mut record = BaseRecord::to(topic).key(&key).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            let is_full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            ensure!(is_full, "the broker does not take the records: {error}");
            producer.poll(POLL);
            record = back;
        }
    }
    producer.flush(PATIENCE).context("the broker does not take the records")?;
    Ok(records)
}

fn ends(client: &ClientConfig, topics: impl IntoIterator<Item = &'static str>) -> Result<Ends> {
    let consumer: BaseConsumer = client.create()?;
    let mut ends = Ends::default();
    let metadata = consumer.fetch_metadata(None, PATIENCE)?;
    for topic in topics {
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        for partition in found.into_iter().flat_map(MetadataTopic::partitions) {
            let (_, end) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            ends.0.insert((topic.to_owned(), partition.id()), end);
        }
    }
    Ok(ends)
}

/// The names of the topics that end in `ending`.
fn named(client: &ClientConfig, ending: &str) -> Result<Vec<String>> {
    let consumer: BaseConsumer = client.create()?;
    let metadata = consumer.fetch_metadata(None, PATIENCE)?;
    let names = metadata.topics().iter().map(MetadataTopic::name);
    Ok(names.filter(|name| name.ends_with(ending)).map(str::to_owned).collect())
}

fn read(
    client: &ClientConfig,
    from: &Ends,
    to: &Ends,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
) -> Result<()> {
    let mut config = client.clone();
    config.set("group.id", "careeros-bench").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut left = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    for (place, end) in &to.0 {
        let start = from.0.get(place).copied().unwrap_or(0);
        if start < *end {
            list.add_partition_offset(&place.0, place.1, Offset::Offset(start))?;
            left.insert(place.clone(), *end);
        }
    }
    consumer.assign(&list)?;
    while !left.is_empty() {
        let message = consumer.poll(PATIENCE).context("the broker does not give the records back")??;
        let place = (message.topic().to_owned(), message.partition());
        let Some(end) = left.get(&place).copied() else { continue };
        each(&message)?;
        if message.offset() + 1 >= end {
            left.remove(&place);
        }
    }
    Ok(())
}
