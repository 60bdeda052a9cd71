//! The topics that clients have asked for and the logs of their partitions. Which topics there are,
//! Tansu's storage knows.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tansu_sans_io::record::deflated::Batch;
use tansu_sans_io::{ConfigResource, ErrorCode};
use tansu_storage::{Storage as _, StorageContainer, TopicId};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::catalog::Catalog;
use super::log::{self, Log};

/// The largest batch in bytes, compressed as it comes: Kafka's default, 1 MiB and a batch's prefix.
const MAX_BATCH: usize = (1 << 20) + 12;
/// What a topic can set in its place.
const MAX_BATCH_SETTING: &str = "max.message.bytes";

/// All topics, shared by all connections.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    storage: StorageContainer,
    catalog: Catalog,
    directory: Arc<PathBuf>,
    known: Arc<Mutex<HashMap<TopicId, Arc<Topic>>>>,
    /// Counts appends, for those who wait for one.
    appends: Arc<watch::Sender<u64>>,
}

/// One topic.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    name: String,
    id: Uuid,
    /// The largest batch it takes, in bytes.
    max_batch: usize,
    partitions: Vec<Arc<Log>>,
}

impl Topics {
    /// Keeps the logs in `directory`; `catalog` is of the tables that `storage` reads.
    pub(super) fn open(storage: StorageContainer, catalog: Catalog, directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let (appends, _) = watch::channel(0);
        Ok(Self { storage, catalog, directory: directory.into(), known: Arc::default(), appends: appends.into() })
    }

    /// Finds a topic by its name or id; none when it was not created.
    pub(super) async fn find(&self, topic: &TopicId) -> Result<Option<Arc<Topic>>, tansu_broker::Error> {
        // Held while a topic is opened: a log has one owner.
        let mut known = self.known.lock().await;
        if let Some(topic) = known.get(topic) {
            return Ok(Some(Arc::clone(topic)));
        }
        let Some((name, id, partitions)) = self.created(topic).await? else {
            return Ok(None);
        };
        let opened = if let Some(topic) = known.get(&TopicId::Id(id)) {
            Arc::clone(topic)
        } else {
            let max_batch = self.max_batch(&name).await?;
            Arc::new(self.open_topic(Topic { name, id, max_batch, partitions: Vec::new() }, partitions)?)
        };
        known.insert(topic.clone(), Arc::clone(&opened));
        known.insert(TopicId::Id(id), Arc::clone(&opened));
        Ok(Some(opened))
    }

    /// Gives `topic` more partitions, `count` in all; false when it has as many already.
    pub(super) async fn grow(&self, topic: &Topic, count: usize) -> Result<bool, tansu_broker::Error> {
        let mut known = self.known.lock().await;
        // Another client may have been faster.
        let now = known.get(&TopicId::Id(topic.id)).map_or(topic, Arc::as_ref);
        if now.count() >= count {
            return Ok(false);
        }
        self.catalog.grow(now.name(), count).await?;
        let grown = Arc::new(self.open_topic(now.clone(), count)?);
        known.insert(TopicId::Id(grown.id), Arc::clone(&grown));
        known.insert(TopicId::Name(grown.name.clone()), grown);
        Ok(true)
    }

    /// Appends a batch to a partition of `topic` and wakes those who wait.
    pub(super) fn append(&self, topic: &Topic, partition: i32, batch: Batch) -> Result<i64, ErrorCode> {
        let log = topic.partition(partition)?;
        if log::size(&batch) > topic.max_batch {
            return Err(ErrorCode::MessageTooLarge);
        }
        let offset = log.append(batch)?;
        self.appends.send_modify(|appends| *appends = appends.wrapping_add(1));
        Ok(offset)
    }

    /// Tells of appends from now on.
    pub(super) fn appends(&self) -> watch::Receiver<u64> {
        self.appends.subscribe()
    }

    async fn created(&self, topic: &TopicId) -> Result<Option<(String, Uuid, usize)>, tansu_broker::Error> {
        let metadata = self.storage.metadata(Some(std::slice::from_ref(topic))).await?;
        let found = metadata.topics().first().filter(|found| found.error_code == i16::from(ErrorCode::None));
        Ok(found.and_then(|found| {
            let partitions = found.partitions.as_ref()?.len();
            Some((found.name.clone()?, Uuid::from_bytes(found.topic_id?), partitions))
        }))
    }

    async fn max_batch(&self, topic: &str) -> Result<usize, tansu_broker::Error> {
        let described = self.storage.describe_config(topic, ConfigResource::Topic, None).await?;
        let mut settings = described.configs.unwrap_or_default().into_iter();
        let set = settings.find(|setting| setting.name == MAX_BATCH_SETTING).and_then(|setting| setting.value);
        Ok(set.and_then(|bytes| bytes.parse().ok()).unwrap_or(MAX_BATCH))
    }

    /// Opens the logs that `topic` lacks of `count`.
    fn open_topic(&self, mut topic: Topic, count: usize) -> Result<Topic, tansu_broker::Error> {
        for partition in topic.partitions.len()..count {
            let log = Log::open(&self.directory.join(format!("{}-{partition}.log", topic.id)));
            let log = log.map_err(|error| tansu_broker::Error::Message(format!("{error:#}")))?;
            topic.partitions.push(Arc::new(log));
        }
        Ok(topic)
    }
}

impl Topic {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its id, under which newer clients ask for it.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// How many partitions it has.
    pub(super) fn count(&self) -> usize {
        self.partitions.len()
    }

    /// The log of a partition.
    ///
    /// # Errors
    /// The protocol's code when the topic has no such partition.
    pub(super) fn partition(&self, index: i32) -> Result<&Log, ErrorCode> {
        let partition = usize::try_from(index).ok().and_then(|index| self.partitions.get(index));
        partition.map(Arc::as_ref).ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}
