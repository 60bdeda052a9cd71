//! The topics that clients have asked for and the logs of their partitions. Which topics there are,
//! Tansu's storage knows.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tansu_sans_io::ErrorCode;
use tansu_sans_io::record::deflated::Batch;
use tansu_storage::{Storage as _, StorageContainer, TopicId};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::log::Log;

/// All topics, shared by all connections.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    storage: StorageContainer,
    directory: Arc<PathBuf>,
    known: Arc<Mutex<HashMap<TopicId, Arc<Topic>>>>,
    /// Counts appends, for those who wait for one.
    appends: Arc<watch::Sender<u64>>,
}

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    name: String,
    id: Uuid,
    partitions: Vec<Log>,
}

impl Topics {
    /// Keeps the logs in `directory`.
    pub(super) fn open(storage: StorageContainer, directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let (appends, _) = watch::channel(0);
        Ok(Self { storage, directory: directory.into(), known: Arc::default(), appends: appends.into() })
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
        let opened = match known.get(&TopicId::Id(id)) {
            Some(topic) => Arc::clone(topic),
            None => Arc::new(self.open_topic(name, id, partitions)?),
        };
        known.insert(topic.clone(), Arc::clone(&opened));
        known.insert(TopicId::Id(id), Arc::clone(&opened));
        Ok(Some(opened))
    }

    /// Appends a batch to a partition of `topic` and wakes those who wait.
    pub(super) fn append(&self, topic: &Topic, partition: i32, batch: Batch) -> Result<i64, ErrorCode> {
        let offset = topic.partition(partition)?.append(batch)?;
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

    fn open_topic(&self, name: String, id: Uuid, partitions: usize) -> Result<Topic, tansu_broker::Error> {
        let path = |partition| self.directory.join(format!("{id}-{partition}.log"));
        let partitions = (0..partitions).map(|partition| Log::open(&path(partition))).collect::<Result<_>>();
        let partitions = partitions.map_err(|error| tansu_broker::Error::Message(format!("{error:#}")))?;
        Ok(Topic { name, id, partitions })
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

    /// The log of a partition.
    ///
    /// # Errors
    /// The protocol's code when the topic has no such partition.
    pub(super) fn partition(&self, index: i32) -> Result<&Log, ErrorCode> {
        let partition = usize::try_from(index).ok().and_then(|index| self.partitions.get(index));
        partition.ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}
