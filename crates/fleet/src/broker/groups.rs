//! Requests about consumer groups. Who is in a group is known here alone, and forgotten with the process: members join
//! again, as they do whenever a broker takes over a group. The offsets that groups have committed are Tansu's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use careeros_shared::{clock::Clock, id};
use tansu_broker::Result;
use tansu_broker::coordinator::group::administrator::Controller;
use tansu_broker::coordinator::group::{Coordinator, OffsetCommit};
use tansu_sans_io::join_group_request::JoinGroupRequestProtocol;
use tansu_sans_io::join_group_response::JoinGroupResponseMember;
use tansu_sans_io::leave_group_request::MemberIdentity;
use tansu_sans_io::leave_group_response::MemberResponse;
use tansu_sans_io::offset_commit_request::OffsetCommitRequestTopic;
use tansu_sans_io::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use tansu_sans_io::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use tansu_sans_io::sync_group_request::SyncGroupRequestAssignment;
use tansu_sans_io::{
    Body, ErrorCode, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, OffsetCommitResponse, SyncGroupResponse,
};
use tansu_storage::StorageContainer;
use tokio::sync::Notify;

use super::group::{Group, Join, Joined};

/// How often whoever waits looks whether somebody else has fallen silent.
const TICK: Duration = Duration::from_millis(200);

/// All groups of the broker.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    groups: Arc<Mutex<HashMap<String, Group>>>,
    changed: Arc<Notify>,
    offsets: Controller<StorageContainer>,
}

impl Groups {
    pub(super) fn new(storage: &StorageContainer) -> Result<Self> {
        let offsets = Controller::with_storage(storage.clone())?;
        Ok(Self { groups: Arc::default(), changed: Arc::default(), offsets })
    }

    /// Asks or changes a group, and wakes those who wait for a change.
    fn with<T>(&self, group: &str, work: impl FnOnce(&mut Group, Instant) -> T) -> T {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(groups.entry(group.to_owned()).or_default(), Instant::now());
        self.changed.notify_waiters();
        result
    }

    /// Asks a group until it answers.
    async fn wait<T>(&self, group: &str, mut ask: impl FnMut(&mut Group, Instant) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            {
                let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = ask(groups.entry(group.to_owned()).or_default(), Instant::now()) {
                    return answer;
                }
            }
            // Time alone changes groups too.
            let _ticked = tokio::time::timeout(TICK, changed).await;
        }
    }
}

#[async_trait]
impl Coordinator for Groups {
    async fn join(
        &mut self,
        client_id: Option<&str>,
        group_id: &str,
        session_timeout_ms: i32,
        rebalance_timeout_ms: Option<i32>,
        member_id: &str,
        _group_instance_id: Option<&str>,
        protocol_type: &str,
        protocols: Option<&[JoinGroupRequestProtocol]>,
        _reason: Option<&str>,
    ) -> Result<Body> {
        if member_id.is_empty() {
            let id = format!("{}-{}", client_id.unwrap_or("member"), id::new(Clock::system().now()));
            self.with(group_id, |group, now| group.promise(&id, now));
            return Ok(refused_join(&id, ErrorCode::MemberIdRequired));
        }
        let protocols = protocols.unwrap_or_default().iter();
        let join = Join {
            protocol_type: protocol_type.to_owned(),
            protocols: protocols.map(|protocol| (protocol.name.clone(), protocol.metadata.clone())).collect(),
            session: milliseconds(session_timeout_ms),
            rebalance: milliseconds(rebalance_timeout_ms.unwrap_or(session_timeout_ms)),
        };
        let joined = match self.with(group_id, |group, now| group.join(member_id, join, now)) {
            Ok(()) => self.wait(group_id, |group, now| group.joined(member_id, now)).await,
            Err(error) => Err(error),
        };
        Ok(joined.map_or_else(|error| refused_join(member_id, error), |joined| told(member_id, joined)))
    }

    async fn sync(
        &mut self,
        group_id: &str,
        generation_id: i32,
        member_id: &str,
        _group_instance_id: Option<&str>,
        protocol_type: Option<&str>,
        protocol_name: Option<&str>,
        assignments: Option<&[SyncGroupRequestAssignment]>,
    ) -> Result<Body> {
        let assignments = assignments.unwrap_or_default().iter();
        let assignments: Vec<_> =
            assignments.map(|assigned| (assigned.member_id.clone(), assigned.assignment.clone())).collect();
        let begun = self.with(group_id, |group, now| group.assign(member_id, generation_id, &assignments, now));
        let assigned = match begun {
            Ok(()) => self.wait(group_id, |group, now| group.assigned(member_id, generation_id, now)).await,
            Err(error) => Err(error),
        };
        let (assignment, error) = assigned.map_or_else(|error| (Bytes::new(), error), |given| (given, ErrorCode::None));
        Ok(SyncGroupResponse::default()
            .throttle_time_ms(Some(0))
            .error_code(error.into())
            .protocol_type(protocol_type.map(str::to_owned))
            .protocol_name(protocol_name.map(str::to_owned))
            .assignment(assignment)
            .into())
    }

    async fn heartbeat(
        &mut self,
        group_id: &str,
        generation_id: i32,
        member_id: &str,
        _group_instance_id: Option<&str>,
    ) -> Result<Body> {
        let heard = self.with(group_id, |group, now| group.heartbeat(member_id, generation_id, now));
        Ok(HeartbeatResponse::default().throttle_time_ms(Some(0)).error_code(code(heard)).into())
    }

    async fn leave(
        &mut self,
        group_id: &str,
        member_id: Option<&str>,
        members: Option<&[MemberIdentity]>,
    ) -> Result<Body> {
        let named = members.unwrap_or_default().iter().map(|member| member.member_id.as_str());
        let left = member_id.into_iter().chain(named).map(|id| {
            let left = self.with(group_id, |group, now| group.leave(id, now));
            MemberResponse::default().member_id(id.to_owned()).group_instance_id(None).error_code(code(left))
        });
        let left = left.collect();
        let response = LeaveGroupResponse::default().throttle_time_ms(Some(0)).error_code(ErrorCode::None.into());
        Ok(response.members(Some(left)).into())
    }

    async fn offset_commit(&mut self, detail: OffsetCommit<'_>) -> Result<Body> {
        let (id, generation) =
            (detail.member_id.unwrap_or_default(), detail.generation_id_or_member_epoch.unwrap_or(-1));
        match self.with(detail.group_id, |group, now| group.commit(id, generation, now)) {
            Ok(()) => self.offsets.offset_commit(detail).await,
            Err(error) => Ok(refused_commit(detail.topics.unwrap_or_default(), error)),
        }
    }

    async fn offset_fetch(
        &mut self,
        group_id: Option<&str>,
        topics: Option<&[OffsetFetchRequestTopic]>,
        groups: Option<&[OffsetFetchRequestGroup]>,
        require_stable: Option<bool>,
    ) -> Result<Body> {
        self.offsets.offset_fetch(group_id, topics, groups, require_stable).await
    }
}

fn milliseconds(number: i32) -> Duration {
    Duration::from_millis(number.try_into().unwrap_or_default())
}

fn code(result: std::result::Result<(), ErrorCode>) -> i16 {
    result.err().unwrap_or(ErrorCode::None).into()
}

fn refused_join(id: &str, error: ErrorCode) -> Body {
    JoinGroupResponse::default()
        .throttle_time_ms(Some(0))
        .error_code(error.into())
        .generation_id(-1)
        .protocol_type(None)
        .protocol_name(Some(String::new()))
        .leader(String::new())
        .skip_assignment(Some(false))
        .member_id(id.to_owned())
        .members(Some(Vec::new()))
        .into()
}

fn told(id: &str, joined: Joined) -> Body {
    let members = joined.members.into_iter().map(|(id, metadata)| {
        JoinGroupResponseMember::default().member_id(id).group_instance_id(None).metadata(metadata)
    });
    JoinGroupResponse::default()
        .throttle_time_ms(Some(0))
        .error_code(ErrorCode::None.into())
        .generation_id(joined.generation)
        .protocol_type(Some(joined.protocol_type))
        .protocol_name(Some(joined.protocol))
        .leader(joined.leader)
        .skip_assignment(Some(false))
        .member_id(id.to_owned())
        .members(Some(members.collect()))
        .into()
}

fn refused_commit(topics: &[OffsetCommitRequestTopic], error: ErrorCode) -> Body {
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.as_deref().unwrap_or_default().iter().map(|partition| {
            OffsetCommitResponsePartition::default().partition_index(partition.partition_index).error_code(error.into())
        });
        OffsetCommitResponseTopic::default().name(topic.name.clone()).partitions(Some(partitions.collect()))
    });
    OffsetCommitResponse::default().throttle_time_ms(Some(0)).topics(Some(topics.collect())).into()
}
