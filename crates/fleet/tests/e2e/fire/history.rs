//! A history that nobody lived: two months of learners in several tenants, drawn from a seed and written to the topics
//! directly, in any order, some records twice, as a relay leaves them that was killed.

use careeros_shared::{
    clock::Clock,
    events::{
        AiFlowExecuted, CourseCompleted, CoursePublished, Envelope, Event, LessonCompleted, MilestoneCompleted,
        ProfileUpdated, PublishedLesson, QuizItem, QuizSubmitted, RoadmapCreated, RoadmapDraftGenerated,
        SkillGapAnalyzed, SubscriptionActivated, SubscriptionCanceled, SubscriptionRenewed, UserLoggedIn,
        UserRegistered,
    },
    testing,
};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use rust_decimal::Decimal;
use uuid::{Builder, Uuid};

const TENANTS: usize = 5;
const USERS: usize = 120;
const COURSES: usize = 8;
const LESSONS: usize = 6;
/// Of one user at the most.
const DEEDS: u32 = 70;
const DAYS: i64 = 60;
const SKILLS: [&str; 5] = ["rust", "sql", "kafka", "docker", "statistics"];
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati"];

/// One record of it.
struct Record {
    topic: &'static str,
    key: String,
    value: String,
}

/// Writes the history of `seed`; how many events it has.
pub(super) async fn write(brokers: &str, seed: u64) -> usize {
    let mut history = History { random: StdRng::seed_from_u64(seed), now: Clock::system().now(), records: Vec::new() };
    history.make();
    let History { mut random, mut records, .. } = history;
    let events = records.len();
    records.shuffle(&mut random);
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "5").create().unwrap();
    let mut deliveries = Vec::new();
    for record in &records {
        let times = if random.random_bool(0.05) { 2 } else { 1 };
        for _ in 0..times {
            let record = FutureRecord::to(record.topic).key(&record.key).payload(&record.value);
            deliveries.push(producer.send(record, std::time::Duration::from_secs(30)));
        }
    }
    for delivery in futures::future::join_all(deliveries).await {
        delivery.expect("the broker takes the record");
    }
    events
}

struct Course {
    id: Uuid,
    lessons: Vec<Uuid>,
}

#[derive(Clone, Copy)]
struct Person {
    id: Uuid,
    tenant_id: Uuid,
}

struct History {
    random: StdRng,
    now: DateTime<Utc>,
    records: Vec<Record>,
}

impl History {
    fn make(&mut self) {
        let tenants: Vec<_> = (0..TENANTS).map(|_| self.id()).collect();
        let courses: Vec<_> = (0..COURSES).map(|_| self.course(tenants[0])).collect();
        for n in 0..USERS {
            let person = Person { id: self.id(), tenant_id: tenants[n % TENANTS] };
            self.live(person, &courses);
        }
    }

    fn live(&mut self, person: Person, courses: &[Course]) {
        let (user_id, at) = (person.id, self.instant());
        let email = format!("{user_id}@example.com");
        self.tell(person, at, &UserRegistered { user_id, email, registered_at: at, default_role: None });
        if self.random.random_bool(0.2) {
            self.subscribe(person);
        }
        for _ in 0..self.random.random_range(1..DEEDS) {
            self.deed(person, courses);
        }
    }

    fn deed(&mut self, person: Person, courses: &[Course]) {
        let (user_id, at) = (person.id, self.instant());
        let course = &courses[self.random.random_range(0..courses.len())];
        let lesson_id = course.lessons[self.random.random_range(0..course.lessons.len())];
        match self.random.random_range(0..12) {
            0..4 => {
                let time_spent_minutes = self.random.random_range(0..90);
                let event =
                    LessonCompleted { lesson_id, course_id: course.id, user_id, completed_at: at, time_spent_minutes };
                self.tell(person, at, &event);
            }
            4 | 5 => self.quiz(person, at, course, lesson_id),
            6 => self.tell(person, at, &CourseCompleted { user_id, course_id: course.id, completed_at: at }),
            7 => {
                let roadmap_id = self.id();
                self.tell(person, at, &RoadmapCreated { roadmap_id, user_id, goal_key: "goal".into(), version: 1 });
                let milestone_id = self.id();
                self.tell(person, at, &MilestoneCompleted { milestone_id, roadmap_id, completed_at: at });
            }
            8 => {
                let timezone = Some(ZONES[self.random.random_range(0..ZONES.len())].to_owned());
                self.tell(person, at, &ProfileUpdated { user_id, updated_fields: vec!["timezone".into()], timezone });
            }
            9 => {
                let email = format!("{user_id}@example.com");
                self.tell(person, at, &UserLoggedIn { user_id, email, logged_in_at: at });
            }
            _ => self.flow(person, at),
        }
    }

    fn quiz(&mut self, person: Person, at: DateTime<Utc>, course: &Course, lesson_id: Uuid) {
        let items = (0..self.random.random_range(1..5)).map(|n| {
            let skill_key = SKILLS[self.random.random_range(0..SKILLS.len())].to_owned();
            QuizItem { item_id: n.to_string(), skill_key, correct: self.random.random_bool(0.6) }
        });
        let items = items.collect();
        let (quiz_id, attempt_id) = (self.id(), self.id());
        let score = f64::from(self.random.random_range(0..=100));
        let (user_id, course_id) = (person.id, course.id);
        let passed = score >= 70.0;
        self.tell(
            person,
            at,
            &QuizSubmitted { user_id, course_id, lesson_id, quiz_id, attempt_id, score, passed, items },
        );
    }

    fn flow(&mut self, person: Person, at: DateTime<Utc>) {
        let execution_id = self.id();
        let flow_name = ["skill_gap_analysis", "roadmap_generator", "resume_analysis"][self.random.random_range(0..3)];
        let status = ["SUCCESS", "PARTIAL", "FAILED"][self.random.random_range(0..3)];
        let event = AiFlowExecuted {
            execution_id,
            flow_name: flow_name.into(),
            flow_version: "v1".into(),
            status: status.into(),
            latency_ms: self.random.random_range(1..5000),
            prompt_tokens: Some(100),
            completion_tokens: Some(100),
            total_cost_usd: Decimal::new(self.random.random_range(0..10_000), 6),
        };
        self.tell(person, at, &event);
        match (flow_name, status) {
            ("skill_gap_analysis", "SUCCESS") => {
                let skill = SKILLS[self.random.random_range(0..SKILLS.len())].to_owned();
                let (missing_skills, priority_order) = (vec![skill.clone()], vec![skill]);
                self.tell(person, at, &SkillGapAnalyzed { execution_id, missing_skills, priority_order });
            }
            ("roadmap_generator", "SUCCESS") => {
                let stages = vec!["One".to_owned(), "Two".to_owned()];
                self.tell(person, at, &RoadmapDraftGenerated { execution_id, stages, timeline_weeks: 8 });
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, person: Person) {
        let (subscription_id, user_id) = (self.id(), Some(person.id));
        let (at, plan_code) = (self.instant(), "PREMIUM".to_owned());
        let status = ["ACTIVE", "TRIAL", "PAST_DUE"][self.random.random_range(0..3)].to_owned();
        let event = SubscriptionActivated {
            subscription_id,
            user_id,
            organization_id: None,
            plan_code: plan_code.clone(),
            activated_at: at,
            status,
        };
        self.tell_of(subscription_id, person, at, &event);
        let (later, mrr_usd) = (self.instant(), Decimal::from(29));
        if self.random.random_bool(0.5) {
            let event = SubscriptionRenewed {
                subscription_id,
                user_id,
                plan_code: plan_code.clone(),
                current_period_end: later,
                mrr_usd,
            };
            self.tell_of(subscription_id, person, later, &event);
        }
        if self.random.random_bool(0.3) {
            let event = SubscriptionCanceled { subscription_id, user_id, plan_code, canceled_at: later, mrr_usd };
            self.tell_of(subscription_id, person, self.now, &event);
        }
    }

    /// A course that was published more than once, each time with other skills.
    fn course(&mut self, tenant_id: Uuid) -> Course {
        let (id, lessons) = (self.id(), (0..LESSONS).map(|_| self.id()).collect::<Vec<_>>());
        for version in 1..=self.random.random_range(1..4) {
            let at = self.instant();
            let taught = lessons.iter().map(|lesson_id| {
                let skill = SKILLS[self.random.random_range(0..SKILLS.len())].to_owned();
                PublishedLesson { lesson_id: *lesson_id, skill_keys: vec![skill] }
            });
            let event = CoursePublished { course_id: id, version, lessons: taught.collect() };
            let envelope = testing::envelope(tenant_id, None, at, &event);
            self.record::<CoursePublished>(id, envelope);
        }
        Course { id, lessons }
    }

    fn tell<E: Event>(&mut self, person: Person, at: DateTime<Utc>, event: &E) {
        self.tell_of(person.id, person, at, event);
    }

    fn tell_of<E: Event>(&mut self, key: Uuid, person: Person, at: DateTime<Utc>, event: &E) {
        let envelope = testing::envelope(person.tenant_id, Some(person.id), at, event);
        self.record::<E>(key, envelope);
    }

    fn record<E: Event>(&mut self, key: Uuid, mut envelope: Envelope) {
        envelope.event_id = self.id();
        let value = serde_json::to_string(&envelope).unwrap();
        self.records.push(Record { topic: E::TOPIC, key: key.to_string(), value });
    }

    /// Microseconds, as PostgreSQL keeps them.
    fn instant(&mut self) -> DateTime<Utc> {
        let ago = self.random.random_range(0..TimeDelta::days(DAYS).num_microseconds().unwrap());
        DateTime::from_timestamp_micros(self.now.timestamp_micros() - ago).unwrap()
    }

    fn id(&mut self) -> Uuid {
        Builder::from_random_bytes(self.random.random()).into_uuid()
    }
}
