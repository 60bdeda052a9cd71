//! A consumer group: who is in it, and who has which partitions. Kafka's classic protocol, as its clients know it.
//!
//! Members join until all that are alive have; the group then has a new generation. One of them, the leader, says who gets
//! what, and all are told. A member that comes, goes or falls silent starts this again. Nothing here waits: whoever asks
//! says what time it is, and asks again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tansu_sans_io::ErrorCode;

/// How long somebody new may take to come with the id that it was given.
const PROMISE: Duration = Duration::from_mins(1);

/// The members of one group with what they have agreed on.
#[derive(Debug, Default)]
pub(super) struct Group {
    generation: i32,
    phase: Phase,
    members: BTreeMap<String, Member>,
    leader: String,
    protocol_type: String,
    protocol: String,
    /// Ids that were given away, and when.
    promised: BTreeMap<String, Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Members join; whoever has not by then is out.
    Joining { until: Instant },
    /// The leader is to say who gets what.
    Assigning,
    /// Everybody knows; also a group without members.
    #[default]
    Stable,
}

#[derive(Debug)]
struct Member {
    protocols: Vec<(String, Bytes)>,
    session: Duration,
    rebalance: Duration,
    seen: Instant,
    /// It asks to join, or for its assignment, and has no answer yet; it cannot be heard of meanwhile.
    waits: bool,
    assignment: Bytes,
}

/// A request to join.
#[derive(Debug, Clone)]
pub(super) struct Join {
    pub(super) protocol_type: String,
    /// Ways to assign partitions, the favourite first, with what the leader has to know of the member for each.
    pub(super) protocols: Vec<(String, Bytes)>,
    /// How long it may be silent.
    pub(super) session: Duration,
    /// How long the others wait for it to join again.
    pub(super) rebalance: Duration,
}

/// What a member that has joined is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) leader: String,
    /// For the leader: everybody with what it has to know of them.
    pub(super) members: Vec<(String, Bytes)>,
}

type Answer<T> = Result<T, ErrorCode>;

impl Group {
    /// Remembers an id that somebody new is to join with.
    pub(super) fn promise(&mut self, id: &str, now: Instant) {
        self.promised.insert(id.to_owned(), now);
    }

    /// Begins to join; [`Group::joined`] tells when it is done.
    pub(super) fn join(&mut self, id: &str, join: Join, now: Instant) -> Answer<()> {
        self.tick(now);
        let is_new = !self.members.contains_key(id);
        if is_new && self.promised.remove(id).is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        let others = self.members.iter().filter(|(other, _)| *other != id).map(|(_, member)| member);
        if common(&join.protocols, &others).is_none() {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let Join { protocol_type, protocols, session, rebalance } = join;
        let assignment = self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default();
        let member = Member { protocols, session, rebalance, seen: now, waits: false, assignment };
        let before = self.members.insert(id.to_owned(), member);
        self.protocol_type = protocol_type;
        let is_same = before.is_some_and(|before| before.protocols == self.members[id].protocols);
        match self.phase {
            // It has not heard the answer; nothing has changed.
            Phase::Assigning if is_same => return Ok(()),
            Phase::Stable if is_same && id != self.leader => return Ok(()),
            Phase::Joining { .. } => {}
            Phase::Assigning | Phase::Stable => self.rebalance(now),
        }
        if let Some(member) = self.members.get_mut(id) {
            member.waits = true;
        }
        self.tick(now);
        Ok(())
    }

    /// What the member is told, once all have joined.
    pub(super) fn joined(&mut self, id: &str, now: Instant) -> Option<Answer<Joined>> {
        self.tick(now);
        match self.members.get(id) {
            None => return Some(Err(ErrorCode::UnknownMemberId)),
            Some(member) if member.waits => return None,
            Some(_) => {}
        }
        let mut members = Vec::new();
        if id == self.leader {
            for (id, member) in &self.members {
                let metadata = member.protocols.iter().find(|(name, _)| *name == self.protocol);
                members.push((id.clone(), metadata.map(|(_, metadata)| metadata.clone()).unwrap_or_default()));
            }
        }
        Some(Ok(Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members,
        }))
    }

    /// Begins to ask for the assignment, which the leader brings; [`Group::assigned`] tells when it is there.
    pub(super) fn assign(
        &mut self,
        id: &str,
        generation: i32,
        assignments: &[(String, Bytes)],
        now: Instant,
    ) -> Answer<()> {
        self.hear(id, generation, now)?;
        if self.phase == Phase::Assigning {
            if id == self.leader {
                for (id, assignment) in assignments {
                    if let Some(member) = self.members.get_mut(id) {
                        member.assignment = assignment.clone();
                    }
                }
                self.release(now);
                self.phase = Phase::Stable;
            } else if let Some(member) = self.members.get_mut(id) {
                member.waits = true;
            }
        }
        Ok(())
    }

    /// The member's assignment, once the leader has brought it.
    pub(super) fn assigned(&mut self, id: &str, generation: i32, now: Instant) -> Option<Answer<Bytes>> {
        self.tick(now);
        let Some(member) = self.members.get(id) else { return Some(Err(ErrorCode::UnknownMemberId)) };
        if generation != self.generation {
            return Some(Err(ErrorCode::RebalanceInProgress));
        }
        match self.phase {
            Phase::Joining { .. } => Some(Err(ErrorCode::RebalanceInProgress)),
            Phase::Assigning => None,
            Phase::Stable => Some(Ok(member.assignment.clone())),
        }
    }

    /// A sign of life; the error tells the member what to do.
    pub(super) fn heartbeat(&mut self, id: &str, generation: i32, now: Instant) -> Answer<()> {
        self.hear(id, generation, now)?;
        match self.phase {
            Phase::Joining { .. } => Err(ErrorCode::RebalanceInProgress),
            Phase::Assigning | Phase::Stable => Ok(()),
        }
    }

    /// The member goes.
    pub(super) fn leave(&mut self, id: &str, now: Instant) -> Answer<()> {
        self.tick(now);
        self.promised.remove(id);
        self.members.remove(id).ok_or(ErrorCode::UnknownMemberId)?;
        self.rebalance(now);
        self.tick(now);
        Ok(())
    }

    /// Whether offsets may be committed: by a member of this generation, or by anybody while there is none.
    pub(super) fn commit(&mut self, id: &str, generation: i32, now: Instant) -> Answer<()> {
        self.tick(now);
        if self.members.is_empty() && generation < 0 {
            return Ok(());
        }
        self.hear(id, generation, now)?;
        if self.phase == Phase::Assigning { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    fn hear(&mut self, id: &str, generation: i32, now: Instant) -> Answer<()> {
        if let Some(member) = self.members.get_mut(id) {
            member.seen = now;
        }
        self.tick(now);
        if !self.members.contains_key(id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// What follows from the time alone: the silent are out, and joining ends.
    fn tick(&mut self, now: Instant) {
        self.promised.retain(|_, given| now.duration_since(*given) < PROMISE);
        let before = self.members.len();
        self.members.retain(|_, member| member.waits || now.duration_since(member.seen) < member.session);
        if self.members.len() < before && !matches!(self.phase, Phase::Joining { .. }) {
            self.rebalance(now);
        }
        let Phase::Joining { until } = self.phase else { return };
        if now >= until {
            self.members.retain(|_, member| member.waits);
        }
        if self.members.values().all(|member| member.waits) {
            self.begin_generation(now);
        }
    }

    /// Everybody has to join again.
    fn rebalance(&mut self, now: Instant) {
        let longest = self.members.values().map(|member| member.rebalance).max().unwrap_or_default();
        self.release(now);
        self.phase = Phase::Joining { until: now + longest };
    }

    fn begin_generation(&mut self, now: Instant) {
        self.generation += 1;
        self.release(now);
        let Some(first) = self.members.keys().next() else {
            self.phase = Phase::Stable;
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader.clone_from(first);
        }
        let protocols = &self.members[&self.leader].protocols;
        self.protocol = common(protocols, &self.members.values()).unwrap_or_default().to_owned();
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.phase = Phase::Assigning;
    }

    /// Nobody waits any more.
    fn release(&mut self, now: Instant) {
        for member in self.members.values_mut().filter(|member| member.waits) {
            (member.waits, member.seen) = (false, now);
        }
    }
}

/// The first of `protocols` that all of `members` know.
fn common<'a, 'b>(
    protocols: &'a [(String, Bytes)],
    members: &(impl Iterator<Item = &'b Member> + Clone),
) -> Option<&'a str> {
    let mut names = protocols.iter().map(|(name, _)| name.as_str());
    names.find(|name| members.clone().all(|member| member.protocols.iter().any(|(known, _)| known == name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(10);

    fn request(metadata: &'static [u8]) -> Join {
        Join {
            protocol_type: "consumer".into(),
            protocols: vec![("sticky".into(), Bytes::from_static(metadata))],
            session: SESSION,
            rebalance: Duration::from_mins(5),
        }
    }

    fn begin(group: &mut Group, id: &str, now: Instant) {
        group.promise(id, now);
        group.join(id, request(b"topics"), now).unwrap();
    }

    fn joined(group: &mut Group, id: &str, now: Instant) -> Joined {
        group.joined(id, now).expect("all have joined").unwrap()
    }

    fn list(entries: &[(&str, &'static str)]) -> Vec<(String, Bytes)> {
        entries.iter().map(|(id, partitions)| ((*id).to_owned(), Bytes::from_static(partitions.as_bytes()))).collect()
    }

    /// Two members, of which "a" leads and has partition 0, and "b" has 1; their generation.
    fn pair(now: Instant) -> (Group, i32) {
        let mut group = Group::default();
        begin(&mut group, "a", now);
        let alone = joined(&mut group, "a", now);
        group.assign("a", alone.generation, &list(&[("a", "0,1")]), now).unwrap();
        begin(&mut group, "b", now);
        assert!(group.joined("b", now).is_none(), "a has not joined again");
        assert_eq!(group.heartbeat("a", alone.generation, now), Err(ErrorCode::RebalanceInProgress));
        group.join("a", request(b"topics and partitions"), now).unwrap();
        let generation = joined(&mut group, "b", now).generation;
        assert_eq!(joined(&mut group, "a", now).members.len(), 2, "the leader is told of both");
        group.assign("b", generation, &[], now).unwrap();
        assert!(group.assigned("b", generation, now).is_none(), "the leader has not said anything");
        group.assign("a", generation, &list(&[("a", "0"), ("b", "1")]), now).unwrap();
        assert_eq!(group.assigned("b", generation, now), Some(Ok("1".into())));
        assert_eq!(group.assigned("a", generation, now), Some(Ok("0".into())));
        (group, generation)
    }

    #[test]
    fn members_get_what_the_leader_says() {
        let now = Instant::now();
        let (mut group, generation) = pair(now);
        assert_eq!(group.heartbeat("a", generation, now), Ok(()));
        assert_eq!(group.heartbeat("b", generation - 1, now), Err(ErrorCode::IllegalGeneration));
        assert_eq!(group.heartbeat("c", generation, now), Err(ErrorCode::UnknownMemberId));
    }

    #[test]
    fn survivor_of_a_silent_leader_is_told_to_join_and_leads() {
        let start = Instant::now();
        let (mut group, generation) = pair(start);
        let halfway = start + SESSION / 2;
        assert_eq!(group.heartbeat("b", generation, halfway), Ok(()));
        let after = start + SESSION;
        for _ in 0..2 {
            let told = group.heartbeat("b", generation, after);
            assert_eq!(told, Err(ErrorCode::RebalanceInProgress), "and again, until it does");
        }
        group.join("b", request(b"topics"), after).unwrap();
        let joined = joined(&mut group, "b", after);
        assert_eq!((joined.leader.as_str(), joined.members.len()), ("b", 1));
        assert!(joined.generation > generation);
        group.assign("b", joined.generation, &list(&[("b", "0,1")]), after).unwrap();
        assert_eq!(group.assigned("b", joined.generation, after), Some(Ok("0,1".into())));
    }

    #[test]
    fn leader_that_dies_before_it_assigns_leaves_nobody_without_partitions() {
        let start = Instant::now();
        let mut group = Group::default();
        begin(&mut group, "a", start);
        let alone = joined(&mut group, "a", start).generation;
        // The leader is gone before it has said anything; somebody new comes.
        begin(&mut group, "b", start);
        assert!(group.joined("b", start).is_none());
        let after = start + SESSION;
        let joined = joined(&mut group, "b", after);
        assert_eq!(joined.leader, "b");
        assert!(joined.generation > alone);
    }

    #[test]
    fn a_member_that_goes_is_replaced_at_once() {
        let now = Instant::now();
        let (mut group, generation) = pair(now);
        group.leave("b", now).unwrap();
        assert_eq!(group.heartbeat("a", generation, now), Err(ErrorCode::RebalanceInProgress));
        group.join("a", request(b"topics"), now).unwrap();
        assert_eq!(joined(&mut group, "a", now).members.len(), 1);
        group.leave("a", now).unwrap();
        assert_eq!(group.commit("", -1, now), Ok(()), "nobody is left to disagree");
    }

    #[test]
    fn offsets_are_committed_by_members_of_this_generation_alone() {
        let now = Instant::now();
        let (mut group, generation) = pair(now);
        assert_eq!(group.commit("a", generation, now), Ok(()));
        assert_eq!(group.commit("a", generation - 1, now), Err(ErrorCode::IllegalGeneration));
        assert_eq!(group.commit("", -1, now), Err(ErrorCode::UnknownMemberId));
        assert_eq!(Group::default().commit("a", 3, now), Err(ErrorCode::UnknownMemberId), "from before a restart");
    }

    #[test]
    fn members_without_a_common_protocol_cannot_meet() {
        let now = Instant::now();
        let (mut group, _) = pair(now);
        group.promise("c", now);
        let other = Join { protocols: vec![("range".into(), Bytes::new())], ..request(b"") };
        assert_eq!(group.join("c", other, now), Err(ErrorCode::InconsistentGroupProtocol));
        assert_eq!(group.join("d", request(b""), now), Err(ErrorCode::UnknownMemberId), "with an id of its own");
    }
}
