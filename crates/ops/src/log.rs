//! Reads partitions from one offset to another.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
    message::OwnedMessage,
    types::RDKafkaErrorCode,
};

use crate::broker::{Broker, Partition};

/// Records in a batch at the most.
const BATCH: usize = 5000;
/// Bytes of values in a batch, above which it takes no further record.
const BATCH_BYTES: usize = 16 << 20;
/// How long the broker may send nothing although something is there.
const SILENCE: Duration = Duration::from_secs(30);

/// A way through partitions.
pub struct Log {
    consumer: StreamConsumer,
    cursors: HashMap<String, HashMap<i32, Cursor>>,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    next: i64,
    end: i64,
}

impl Cursor {
    fn behind(self) -> u64 {
        u64::try_from(self.end - self.next).unwrap_or_default()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("cursors", &self.cursors).finish_non_exhaustive()
    }
}

impl Log {
    /// Through `partitions`, from their first offsets to their ends.
    ///
    /// # Errors
    /// Where a setting is unusable.
    pub fn open(broker: &Broker, partitions: &[Partition]) -> Result<Self> {
        let consumer: StreamConsumer = broker.reader().create()?;
        let mut assignment = TopicPartitionList::new();
        let mut cursors: HashMap<String, HashMap<i32, Cursor>> = HashMap::new();
        for Partition { topic, number, low, high } in partitions {
            assignment.add_partition_offset(topic, *number, Offset::Offset(*low))?;
            cursors.entry(topic.clone()).or_default().insert(*number, Cursor { next: *low, end: *high });
        }
        if !partitions.is_empty() {
            consumer.assign(&assignment)?;
        }
        Ok(Self { consumer, cursors })
    }

    /// Records between here and the ends.
    pub fn behind(&self) -> u64 {
        self.cursors.values().flat_map(HashMap::values).map(|cursor| cursor.behind()).sum()
    }

    /// Moves the ends to those of `partitions`.
    ///
    /// # Errors
    /// Where there is a partition that there was not before.
    pub fn extend(&mut self, partitions: &[Partition]) -> Result<()> {
        for Partition { topic, number, high, .. } in partitions {
            let cursor = self.cursors.get_mut(topic).and_then(|topic| topic.get_mut(number));
            let cursor = cursor.with_context(|| format!("{topic} has got a new partition meanwhile; start again"))?;
            cursor.end = *high;
        }
        Ok(())
    }

    /// The next records; none at the ends.
    ///
    /// # Errors
    /// Where the broker is silent for too long or no longer has what is to be read.
    pub async fn batch(&mut self) -> Result<Vec<OwnedMessage>> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut open = self.cursors.values().flat_map(HashMap::values).filter(|cursor| cursor.behind() > 0).count();
        while open > 0 && records.len() < BATCH && bytes < BATCH_BYTES {
            let record = self.record().await?;
            if let Some(cursor) = self.cursors.get_mut(record.topic()).and_then(|t| t.get_mut(&record.partition())) {
                let was_behind = cursor.behind() > 0;
                cursor.next = record.offset() + 1;
                open -= usize::from(was_behind && cursor.behind() == 0);
            }
            bytes += record.payload().map_or(0, <[u8]>::len);
            records.push(record);
        }
        Ok(records)
    }

    async fn record(&self) -> Result<OwnedMessage> {
        let mut last = None;
        let wait = async {
            loop {
                match self.consumer.recv().await {
                    Ok(record) => return Ok(record.detach()),
                    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)) => {
                        bail!("records expired while they were read; is retention.ms of the topics -1?")
                    }
                    // librdkafka connects again by itself.
                    Err(error) => last = Some(error),
                }
            }
        };
        if let Ok(record) = tokio::time::timeout(SILENCE, wait).await {
            return record;
        }
        let why = last.map(|error| format!(" ({error})")).unwrap_or_default();
        bail!("the broker has sent nothing for {} s{why}; try again when it is well", SILENCE.as_secs())
    }
}
