//! Requests for more partitions of a topic. Records stay where they are; keys may go elsewhere from then on.

use rama::{Context, Service};
use tansu_sans_io::create_partitions_request::CreatePartitionsTopic;
use tansu_sans_io::create_partitions_response::CreatePartitionsTopicResult;
use tansu_sans_io::{CreatePartitionsRequest, CreatePartitionsResponse, ErrorCode};
use tansu_storage::TopicId;

use super::topics::Topics;

/// Answers requests for more partitions.
#[derive(Clone, Debug)]
pub(super) struct Partitions(pub(super) Topics);

impl Service<(), CreatePartitionsRequest> for Partitions {
    type Response = CreatePartitionsResponse;
    type Error = tansu_broker::Error;

    async fn serve(
        &self,
        _: Context<()>,
        request: CreatePartitionsRequest,
    ) -> Result<CreatePartitionsResponse, Self::Error> {
        let mut results = Vec::new();
        for topic in request.topics.unwrap_or_default() {
            let (code, message) = self.grow(&topic, request.validate_only).await?;
            let result = CreatePartitionsTopicResult::default().name(topic.name);
            results.push(result.error_code(code.into()).error_message(message));
        }
        Ok(CreatePartitionsResponse::default().throttle_time_ms(0).results(Some(results)))
    }
}

impl Partitions {
    async fn grow(
        &self,
        asked: &CreatePartitionsTopic,
        validate_only: bool,
    ) -> Result<(ErrorCode, Option<String>), tansu_broker::Error> {
        let Some(topic) = self.0.find(&TopicId::Name(asked.name.clone())).await? else {
            return Ok((ErrorCode::UnknownTopicOrPartition, None));
        };
        let count = usize::try_from(asked.count).unwrap_or_default();
        let more = if validate_only { count > topic.count() } else { self.0.grow(&topic, count).await? };
        Ok(if more {
            (ErrorCode::None, None)
        } else {
            let message = format!("the topic has {} partitions already: {} are no more", topic.count(), asked.count);
            (ErrorCode::InvalidPartitions, Some(message))
        })
    }
}
