//! Requests for a partition's offsets: its first, its next, or the one of a time.

use rama::{Context, Service};
use tansu_sans_io::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use tansu_sans_io::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use tansu_sans_io::{ErrorCode, ListOffsetsRequest, ListOffsetsResponse};
use tansu_storage::TopicId;

use super::topics::{Topic, Topics};

/// In place of a time: the offset that the next record gets.
const LATEST: i64 = -1;
/// In place of a time: the first offset.
const EARLIEST: i64 = -2;

/// Answers requests for offsets.
#[derive(Clone, Debug)]
pub(super) struct Offsets(pub(super) Topics);

impl Service<(), ListOffsetsRequest> for Offsets {
    type Response = ListOffsetsResponse;
    type Error = tansu_broker::Error;

    async fn serve(&self, _: Context<()>, request: ListOffsetsRequest) -> Result<ListOffsetsResponse, Self::Error> {
        let mut topics = Vec::new();
        for ListOffsetsTopic { name, partitions, .. } in request.topics.unwrap_or_default() {
            let topic = self.0.find(&TopicId::Name(name.clone())).await?;
            let partitions = partitions.unwrap_or_default();
            let found = partitions.iter().map(|asked| respond(asked, find(topic.as_deref(), asked)));
            topics.push(ListOffsetsTopicResponse::default().partitions(Some(found.collect())).name(name));
        }
        Ok(ListOffsetsResponse::default().throttle_time_ms(Some(0)).topics(Some(topics)))
    }
}

/// The offset and, where a time was asked for, its time; -1 stands for none.
fn find(topic: Option<&Topic>, asked: &ListOffsetsPartition) -> Result<(i64, i64), ErrorCode> {
    let log = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?.partition(asked.partition_index)?;
    Ok(match asked.timestamp {
        LATEST => (log.next_offset(), -1),
        EARLIEST => (0, -1),
        timestamp => log.at_time(timestamp).unwrap_or((-1, -1)),
    })
}

fn respond(asked: &ListOffsetsPartition, found: Result<(i64, i64), ErrorCode>) -> ListOffsetsPartitionResponse {
    let (offset, timestamp) = found.unwrap_or((-1, -1));
    ListOffsetsPartitionResponse::default()
        .partition_index(asked.partition_index)
        .error_code(found.err().unwrap_or(ErrorCode::None).into())
        .old_style_offsets(None)
        .timestamp(Some(timestamp))
        .offset(Some(offset))
        .leader_epoch(Some(0))
}
