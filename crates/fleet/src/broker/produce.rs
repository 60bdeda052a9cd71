//! Produce requests: batches are appended to the logs of their partitions.

use rama::{Context, Service};
use tansu_sans_io::produce_request::{PartitionProduceData, TopicProduceData};
use tansu_sans_io::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use tansu_sans_io::{ErrorCode, ProduceRequest, ProduceResponse};
use tansu_storage::TopicId;

use super::topics::{Topic, Topics};

/// Answers produce requests.
#[derive(Clone, Debug)]
pub(super) struct Produce(pub(super) Topics);

impl Service<(), ProduceRequest> for Produce {
    type Response = ProduceResponse;
    type Error = tansu_broker::Error;

    async fn serve(&self, _: Context<()>, request: ProduceRequest) -> Result<ProduceResponse, Self::Error> {
        let mut responses = Vec::new();
        for topic in request.topic_data.unwrap_or_default() {
            responses.push(self.topic(topic).await?);
        }
        Ok(ProduceResponse::default().responses(Some(responses)).throttle_time_ms(Some(0)).node_endpoints(None))
    }
}

impl Produce {
    async fn topic(&self, data: TopicProduceData) -> Result<TopicProduceResponse, tansu_broker::Error> {
        let topic = self.0.find(&TopicId::Name(data.name.clone())).await?;
        let partitions = data.partition_data.unwrap_or_default().into_iter().map(|data| {
            let index = data.index;
            let appended = topic.as_ref().ok_or(ErrorCode::UnknownTopicOrPartition);
            respond(index, appended.and_then(|topic| self.append(topic, data)))
        });
        Ok(TopicProduceResponse::default().partition_responses(Some(partitions.collect())).name(data.name))
    }

    fn append(&self, topic: &Topic, data: PartitionProduceData) -> Result<i64, ErrorCode> {
        let mut first_offset = Err(ErrorCode::InvalidRequest);
        for batch in data.records.map(|frame| frame.batches).unwrap_or_default() {
            let offset = self.0.append(topic, data.index, batch)?;
            first_offset = first_offset.or(Ok(offset));
        }
        first_offset
    }
}

fn respond(index: i32, appended: Result<i64, ErrorCode>) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .index(index)
        .error_code(appended.err().unwrap_or(ErrorCode::None).into())
        .base_offset(appended.unwrap_or(-1))
        .log_append_time_ms(Some(-1))
        .log_start_offset(Some(0))
        .record_errors(Some(Vec::new()))
        .error_message(None)
        .current_leader(None)
}
