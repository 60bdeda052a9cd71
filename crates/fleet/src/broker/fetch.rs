//! Fetch requests: batches are read from the logs; a client that has read all waits, without being
//! asked again, until something is appended or its time is up.

use std::sync::Arc;
use std::time::Duration;

use rama::{Context, Service};
use tansu_sans_io::fetch_request::{FetchPartition, FetchTopic};
use tansu_sans_io::fetch_response::{FetchableTopicResponse, PartitionData};
use tansu_sans_io::record::deflated::{Batch, Frame};
use tansu_sans_io::{ErrorCode, FetchRequest, FetchResponse};
use tansu_storage::TopicId;
use tokio::time::{Instant, timeout_at};

use super::topics::{Topic, Topics};

/// An answer's size in bytes, whatever a client asks for.
const MAX_BYTES: usize = 16 << 20;

/// Answers fetch requests.
#[derive(Clone, Debug)]
pub(super) struct Fetch(pub(super) Topics);

impl Service<(), FetchRequest> for Fetch {
    type Response = FetchResponse;
    type Error = tansu_broker::Error;

    async fn serve(&self, _: Context<()>, request: FetchRequest) -> Result<FetchResponse, Self::Error> {
        let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.try_into().unwrap_or_default());
        let max_bytes = request.max_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let max_bytes = max_bytes.unwrap_or(MAX_BYTES).min(MAX_BYTES);
        let enough = usize::try_from(request.min_bytes).unwrap_or_default().min(max_bytes);
        let mut appends = self.0.appends();
        let wanted = self.wanted(request.topics.unwrap_or_default()).await?;
        while at_hand(&wanted, enough) < enough {
            if !matches!(timeout_at(deadline, appends.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        let mut remaining = max_bytes;
        let responses = wanted.iter().map(|topic| topic.read(&mut remaining)).collect();
        Ok(FetchResponse::default()
            .throttle_time_ms(Some(0))
            .error_code(Some(ErrorCode::None.into()))
            .session_id(Some(0))
            .node_endpoints(Some(Vec::new()))
            .responses(Some(responses)))
    }
}

impl Fetch {
    async fn wanted(&self, requested: Vec<FetchTopic>) -> Result<Vec<Wanted>, tansu_broker::Error> {
        let mut wanted = Vec::with_capacity(requested.len());
        for requested in requested {
            let topic = self.0.find(&TopicId::from(&requested)).await?;
            wanted.push(Wanted { topic, requested });
        }
        Ok(wanted)
    }
}

/// What a client asks of one topic.
struct Wanted {
    topic: Option<Arc<Topic>>,
    requested: FetchTopic,
}

/// The bytes that can be answered with now; an error is answered at once and counts as `enough`.
fn at_hand(wanted: &[Wanted], enough: usize) -> usize {
    let partitions = wanted.iter().flat_map(|topic| topic.partitions().iter().map(move |asked| (topic, asked)));
    let mut bytes = 0;
    for (topic, asked) in partitions {
        let available = topic.log(asked).and_then(|log| log.available(asked.fetch_offset, enough));
        bytes += available.unwrap_or(enough);
        if bytes >= enough {
            break;
        }
    }
    bytes
}

impl Wanted {
    fn partitions(&self) -> &[FetchPartition] {
        self.requested.partitions.as_deref().unwrap_or_default()
    }

    fn log(&self, asked: &FetchPartition) -> Result<&super::log::Log, ErrorCode> {
        self.topic.as_ref().ok_or(ErrorCode::UnknownTopicOrPartition)?.partition(asked.partition)
    }

    fn read(&self, remaining: &mut usize) -> FetchableTopicResponse {
        let partitions = self.partitions().iter().map(|asked| self.read_partition(asked, remaining)).collect();
        let name = self.topic.as_ref().map(|topic| topic.name().to_owned());
        let id = self.topic.as_ref().map(|topic| topic.id().into_bytes());
        FetchableTopicResponse::default()
            .topic(name.or_else(|| self.requested.topic.clone()))
            .topic_id(id.or(self.requested.topic_id))
            .partitions(Some(partitions))
    }

    fn read_partition(&self, asked: &FetchPartition, remaining: &mut usize) -> PartitionData {
        let limit = usize::try_from(asked.partition_max_bytes).unwrap_or_default().min(*remaining);
        let read = self.log(asked).and_then(|log| Ok((log.read(asked.fetch_offset, limit)?, log.next_offset())));
        let error = read.as_ref().err().copied().unwrap_or(ErrorCode::None);
        let (batches, next_offset) = read.unwrap_or_default();
        *remaining = remaining.saturating_sub(batches.iter().map(|batch: &Batch| batch.record_data.len()).sum());
        PartitionData::default()
            .partition_index(asked.partition)
            .error_code(error.into())
            .high_watermark(next_offset)
            .last_stable_offset(Some(next_offset))
            .log_start_offset(Some(0))
            .diverging_epoch(None)
            .current_leader(None)
            .snapshot_id(None)
            .aborted_transactions(Some(Vec::new()))
            .preferred_read_replica(Some(-1))
            .records((!batches.is_empty()).then_some(Frame { batches }))
    }
}
