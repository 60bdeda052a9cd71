//! Made-up events: a fortnight of a platform on which people learn, the same for the same seed, with the counts that every
//! projection must come to.

mod mix;

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Result};
use careeros_shared::events::{Envelope, Event};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rust_decimal::Decimal;
use uuid::Uuid;

/// The time that the events are spread over.
const SPAN: TimeDelta = TimeDelta::days(14);
const LESSONS: usize = 10;
const SKILLS: [&str; 24] = [
    "rust",
    "sql",
    "docker",
    "kubernetes",
    "linux",
    "git",
    "python",
    "go",
    "java",
    "testing",
    "security",
    "networking",
    "design",
    "writing",
    "statistics",
    "algebra",
    "probability",
    "machine-learning",
    "databases",
    "caching",
    "queues",
    "observability",
    "profiling",
    "architecture",
];

/// What a producer would put on a topic.
#[derive(Debug)]
pub(crate) struct Record {
    /// Where it goes.
    pub(crate) topic: &'static str,
    /// The aggregate whose events keep their order.
    pub(crate) key: String,
    /// The envelope as JSON.
    pub(crate) value: Vec<u8>,
}

/// How much there is of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Events in all.
    pub(crate) events: u64,
    /// Users, each of one tenant.
    pub(crate) users: usize,
    /// Tenants.
    pub(crate) tenants: usize,
    /// Courses, published at the beginning.
    pub(crate) courses: usize,
}

/// What has to be in the tables once every event is applied.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Expected {
    /// Events by topic.
    pub(crate) topics: BTreeMap<&'static str, u64>,
    /// Rows of analytics' funnel by step.
    pub(crate) funnel: BTreeMap<&'static str, u64>,
    /// The tenants' users on the days of UTC on which they were active.
    pub(crate) active: HashSet<(Uuid, NaiveDate, Uuid)>,
    /// AI flows run.
    pub(crate) flows: u64,
    /// What they have cost in US dollars.
    pub(crate) flow_cost: Decimal,
    /// AI flows that count against a quota.
    pub(crate) metered: u64,
    /// What learners did.
    pub(crate) deeds: u64,
    /// Minutes of lessons.
    pub(crate) minutes: u64,
    /// Completed lessons times the skills that each teaches.
    pub(crate) taught: u64,
    /// Users that edu-tracker knows of.
    pub(crate) learners: HashSet<Uuid>,
    /// Roadmap drafts.
    pub(crate) drafts: u64,
    /// Users whose skill gap was analysed.
    pub(crate) analysed: HashSet<Uuid>,
}

impl Expected {
    /// Events on `topics`.
    pub(crate) fn on(&self, topics: &[&str]) -> u64 {
        topics.iter().filter_map(|topic| self.topics.get(topic)).sum()
    }
}

#[derive(Debug, Clone, Copy)]
struct User {
    id: Uuid,
    tenant_id: Uuid,
}

#[derive(Debug)]
struct Course {
    id: Uuid,
    tenant_id: Uuid,
    lessons: Vec<(Uuid, Vec<String>)>,
}

/// Makes the events one after the other.
#[derive(Debug)]
pub(crate) struct Generator {
    size: Size,
    random: StdRng,
    span: TimeDelta,
    end: DateTime<Utc>,
    users: Vec<User>,
    courses: Vec<Course>,
    made: u64,
    registered: usize,
    expected: Expected,
}

impl Generator {
    /// The events of `seed` that end at `end`.
    pub(crate) fn new(seed: u64, size: Size, end: DateTime<Utc>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let start = end - SPAN;
        let tenants: Vec<Uuid> = (0..size.tenants.max(1)).map(|_| id(&mut random, start)).collect();
        let users = (0..size.users.max(1))
            .map(|number| User { id: id(&mut random, start), tenant_id: tenants[number % tenants.len()] });
        let users: Vec<_> = users.collect();
        let mut courses = Vec::new();
        for number in 0..size.courses.max(1) {
            let lessons = (0..LESSONS).map(|_| {
                let first = random.random_range(0..SKILLS.len());
                let skills = [first, first + 1].map(|skill| SKILLS[skill % SKILLS.len()].to_owned());
                (id(&mut random, start), skills[..random.random_range(1..=2)].to_vec())
            });
            let lessons = lessons.collect();
            courses.push(Course { id: id(&mut random, start), tenant_id: tenants[number % tenants.len()], lessons });
        }
        let expected = Expected::default();
        Self { size, random, span: SPAN, end, users, courses, made: 0, registered: 0, expected }
    }

    /// The events are about these users (each with a tenant), who have registered before, and happen within `span`.
    pub(crate) fn about(mut self, users: Vec<(Uuid, Uuid)>, span: TimeDelta) -> Self {
        self.users = users.into_iter().map(|(id, tenant_id)| User { id, tenant_id }).collect();
        self.registered = self.users.len();
        self.span = span;
        self
    }

    /// What has to be in the tables after all that was made so far.
    pub(crate) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// When the event happens that is made now: in order, in equal steps.
    fn now(&self) -> DateTime<Utc> {
        let steps = i32::try_from(self.size.events.max(1)).unwrap_or(i32::MAX);
        let made = i32::try_from(self.made).unwrap_or(i32::MAX);
        self.end - self.span + self.span / steps * made
    }

    fn user(&mut self) -> User {
        self.users[self.random.random_range(0..self.users.len())]
    }

    /// A new id.
    fn id(&mut self) -> Uuid {
        let now = self.now();
        id(&mut self.random, now)
    }

    fn active(&mut self, user: User) {
        self.expected.active.insert((user.tenant_id, self.now().date_naive(), user.id));
    }

    fn step(&mut self, step: &'static str, user: User) {
        *self.expected.funnel.entry(step).or_default() += 1;
        self.active(user);
    }

    fn learns(&mut self, user: User) {
        self.expected.deeds += 1;
        self.expected.learners.insert(user.id);
    }

    /// The record that `event` about `user` becomes.
    fn record<E: Event>(&mut self, user: User, event: &E) -> Result<Record> {
        let envelope = Envelope {
            event_id: self.id(),
            event_type: E::TYPE.to_owned(),
            event_version: 1,
            occurred_at: self.now(),
            source: E::SOURCE.to_owned(),
            correlation_id: Some(self.id().to_string()),
            request_id: None,
            tenant_id: user.tenant_id.to_string(),
            user_id: Some(user.id.to_string()),
            payload: serde_json::to_value(event).with_context(|| format!("{} is not JSON", E::TYPE))?,
        };
        *self.expected.topics.entry(E::TOPIC).or_default() += 1;
        let key = event.key().unwrap_or_else(|| user.id.to_string());
        Ok(Record { topic: E::TOPIC, key, value: serde_json::to_vec(&envelope)? })
    }
}

impl Iterator for Generator {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        if self.made == self.size.events {
            return None;
        }
        let record = self.make();
        self.made += 1;
        Some(record)
    }
}

fn id(random: &mut StdRng, at: DateTime<Utc>) -> Uuid {
    let milliseconds = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random.random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use careeros_shared::events::TOPICS;

    use super::*;

    const SIZE: Size = Size { events: 5000, users: 200, tenants: 7, courses: 5 };

    fn generator(seed: u64) -> Generator {
        Generator::new(seed, SIZE, DateTime::from_timestamp(1_767_700_800, 0).unwrap())
    }

    #[test]
    fn the_same_seed_makes_the_same_events_and_another_one_others() {
        let records = |seed| generator(seed).map(|record| record.unwrap().value).collect::<Vec<_>>();
        assert_eq!(records(1), records(1));
        assert_ne!(records(1), records(2));
    }

    #[test]
    fn every_topic_of_the_contract_has_events_and_all_are_counted() {
        let mut generator = generator(3);
        let (start, end) = (generator.end - SPAN, generator.end);
        let mut ids = HashSet::new();
        for record in generator.by_ref() {
            let record = record.unwrap();
            let envelope = Envelope::parse(&record.value).unwrap();
            assert!(ids.insert(envelope.event_id), "an id occurs twice");
            assert!((start..end).contains(&envelope.occurred_at), "{}", envelope.occurred_at);
        }
        let expected = generator.expected();
        assert_eq!(expected.on(&TOPICS), SIZE.events);
        for topic in TOPICS {
            assert!(expected.on(&[topic]) > 0, "{topic}");
        }
        assert!(expected.metered > 0 && expected.metered < expected.flows);
        assert!(expected.taught >= expected.on(&["careeros.lms.lesson-completed.v1"]));
    }
}
