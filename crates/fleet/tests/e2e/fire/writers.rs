//! People who write through the gateway all the time, and what they were told is done.

use std::{collections::BTreeMap, sync::Arc};

use careeros_fleet::journey::Client;
use careeros_shared::testing;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};

use super::gateway::Gateway;

/// Steps that one person takes before another one comes.
const STEPS: usize = 12;
/// AI flows that one person runs at the most; the free plan has 50 a month.
const FLOWS: usize = 20;
/// The lessons of the course that everybody takes.
pub(super) const LESSONS: usize = 4;

/// A published course.
pub(super) struct Course {
    pub(super) id: String,
    pub(super) lessons: Vec<String>,
}

/// What was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Things that have to exist, by kind, written as [`super::sources`] writes them.
    pub(super) things: BTreeMap<&'static str, Vec<String>>,
    /// Counters that have to stand at this or above, by kind and whose they are.
    pub(super) counters: BTreeMap<(&'static str, String), u32>,
    /// Requests that were never answered, because a killed process held their key.
    pub(super) unknown: usize,
}

impl Ledger {
    fn note(&mut self, kind: &'static str, thing: impl Into<String>) {
        self.things.entry(kind).or_default().push(thing.into());
    }

    /// Everything that was noted.
    pub(super) fn len(&self) -> usize {
        self.things.values().map(Vec::len).sum()
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (kind, things) in other.things {
            self.things.entry(kind).or_default().extend(things);
        }
        self.counters.extend(other.counters);
        self.unknown += other.unknown;
    }
}

/// Writes until the fire ends.
pub(super) async fn write(gateway: Gateway, provider: Arc<Client>, course: Arc<Course>, seed: u64) -> Ledger {
    let mut random = StdRng::seed_from_u64(seed);
    let mut ledger = Ledger::default();
    while gateway.burns() {
        let Some(mut person) = Person::register(&gateway, &mut ledger).await else {
            ledger.unknown += 1;
            continue;
        };
        for _ in 0..STEPS {
            if !gateway.burns() {
                break;
            }
            // Whoever does not know what became of a request cannot know either what the next answer has to be.
            if person.step(&gateway, &provider, &course, &mut random, &mut ledger).await.is_none() {
                ledger.unknown += 1;
                break;
            }
        }
    }
    ledger
}

#[derive(Default)]
struct Person {
    id: String,
    tenant_id: String,
    token: String,
    names: u32,
    skills: u32,
    flows: usize,
    roadmaps: u64,
    /// Milestones of the newest roadmap that are not done.
    milestones: Vec<String>,
    is_enrolled: bool,
    lessons: usize,
    has_paid: bool,
}

impl Person {
    async fn register(gateway: &Gateway, ledger: &mut Ledger) -> Option<Self> {
        let email = format!("fire-{}@example.com", testing::id().simple());
        let answer =
            gateway.post("", "/auth/register", json!({"email": email, "password": "correct horse battery"})).await?;
        let person = Self {
            id: text(&answer, "/userId"),
            tenant_id: text(&answer, "/tenantId"),
            token: text(&answer, "/tokens/accessToken"),
            ..Self::default()
        };
        ledger.note("users", &person.id);
        Some(person)
    }

    async fn step(
        &mut self,
        gateway: &Gateway,
        provider: &Client,
        course: &Course,
        random: &mut StdRng,
        ledger: &mut Ledger,
    ) -> Option<()> {
        match random.random_range(0..10) {
            0 => self.name(gateway, ledger).await,
            1 | 2 => self.skill(gateway, ledger).await,
            3 => self.plan(gateway, ledger).await,
            4 if !self.milestones.is_empty() => self.milestone(gateway, ledger).await,
            5 if self.flows < FLOWS => self.flow(gateway, random, ledger).await,
            6 => self.draft(gateway, ledger).await,
            7 if !self.has_paid => self.pay(provider, ledger).await,
            8 if random.random_bool(0.3) => self.teach(gateway, ledger).await,
            _ if self.lessons < LESSONS => self.learn(gateway, course, ledger).await,
            _ => self.skill(gateway, ledger).await,
        }
    }

    async fn name(&mut self, gateway: &Gateway, ledger: &mut Ledger) -> Option<()> {
        self.names += 1;
        let body = json!({"fullName": self.names.to_string()});
        gateway.settle(Method::PUT, &self.token, &format!("/profiles/{}", self.id), Some(body)).await?;
        ledger.counters.insert(("names", self.id.clone()), self.names);
        Some(())
    }

    /// The proficiency counts the requests, so that the events show their order.
    async fn skill(&mut self, gateway: &Gateway, ledger: &mut Ledger) -> Option<()> {
        self.skills += 1;
        let body = json!({"skillKey": "counting", "skillName": "Counting", "proficiency": self.skills});
        gateway.post(&self.token, &format!("/profiles/{}/skills", self.id), body).await?;
        ledger.note("skills", format!("{} {}", self.id, self.skills));
        Some(())
    }

    async fn plan(&mut self, gateway: &Gateway, ledger: &mut Ledger) -> Option<()> {
        let body = json!({"goalKey": "fire", "targetRole": "Fire fighter", "timelineWeeks": 8});
        let roadmap = gateway.post(&self.token, "/roadmaps", body).await?;
        self.roadmaps += 1;
        assert_eq!(roadmap["version"], self.roadmaps, "each acknowledged roadmap is one version: {roadmap}");
        let id = text(&roadmap, "/roadmap_id");
        ledger.note("roadmaps", format!("{id} {}", self.roadmaps));
        let whole = gateway.get(&self.token, &format!("/roadmaps/{id}")).await?;
        let stages = whole["stages"].as_array().into_iter().flatten();
        let milestones = stages.flat_map(|stage| stage["milestones"].as_array().into_iter().flatten());
        self.milestones = milestones.rev().map(|milestone| text(milestone, "/milestone_id")).collect();
        Some(())
    }

    async fn milestone(&mut self, gateway: &Gateway, ledger: &mut Ledger) -> Option<()> {
        let Some(milestone) = self.milestones.pop() else { return Some(()) };
        let body = json!({"milestoneId": milestone});
        gateway.settle(Method::PATCH, &self.token, "/roadmaps/milestones/complete", Some(body)).await?;
        ledger.note("milestones", milestone);
        Some(())
    }

    async fn flow(&mut self, gateway: &Gateway, random: &mut StdRng, ledger: &mut Ledger) -> Option<()> {
        self.flows += 1;
        let plan = json!({"targetRole": "Backend Engineer", "currentSkills": ["Rust", "SQL"], "weeklyHours": 8});
        let (name, input) = match random.random_range(0..3) {
            0 => ("skill_gap_analysis", plan),
            1 => ("roadmap_generator", plan),
            _ => ("productivity_advisor", json!({"weeklyMinutes": 90})),
        };
        let answer = gateway.post(&self.token, "/ai/flows/execute", json!({"flowName": name, "input": input})).await?;
        ledger.note("executions", format!("{} {name} {}", text(&answer, "/execution_id"), text(&answer, "/status")));
        Some(())
    }

    async fn draft(&mut self, gateway: &Gateway, ledger: &mut Ledger) -> Option<()> {
        let draft = gateway.post(&self.token, "/roadmaps/drafts", json!({"title": "Fire"})).await?;
        ledger.note("drafts", text(&draft, "/id"));
        Some(())
    }

    async fn learn(&mut self, gateway: &Gateway, course: &Course, ledger: &mut Ledger) -> Option<()> {
        if !self.is_enrolled {
            gateway.post(&self.token, "/lms/enrollments", json!({"courseId": course.id})).await?;
            self.is_enrolled = true;
            ledger.note("enrollments", format!("{} {}", self.id, course.id));
            return Some(());
        }
        let (lesson, minutes) = (&course.lessons[self.lessons], 10 + self.lessons);
        let body = json!({"courseId": course.id, "lessonId": lesson, "timeSpentMinutes": minutes});
        gateway.post(&self.token, "/lms/lessons/complete", body).await?;
        self.lessons += 1;
        ledger.note("completions", format!("{} {lesson} {minutes}", self.id));
        Some(())
    }

    async fn teach(&mut self, gateway: &Gateway, ledger: &mut Ledger) -> Option<()> {
        let course = publish(gateway, &self.id, &self.token, 1).await?;
        ledger.note("courses", format!("{} 1", course.id));
        Some(())
    }

    /// The provider's webhook, which has its own way to be applied once.
    async fn pay(&mut self, provider: &Client, ledger: &mut Ledger) -> Option<()> {
        let body = json!({
            "eventType": "subscription.activated", "eventId": format!("evt_{}", testing::id().simple()),
            "payload": {"user_id": self.id, "tenant_id": self.tenant_id, "plan_code": "PREMIUM"}
        });
        while let Err(error) = provider.webhook(&body, 200).await {
            let said = format!("{error:#}");
            assert!(!said.contains("was answered 4"), "{said}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        self.has_paid = true;
        ledger.note("subscribers", &self.id);
        Some(())
    }
}

/// Makes and publishes a course with so many lessons.
pub(super) async fn publish(gateway: &Gateway, instructor_id: &str, token: &str, lessons: usize) -> Option<Course> {
    let course = json!({"instructorId": instructor_id, "title": "Fire", "priceUsd": 0});
    let course = gateway.post(token, "/lms/courses", course).await?;
    let id = text(&course, "/course_id");
    let module = gateway.post(token, &format!("/lms/courses/{id}/modules"), json!({"title": "One"})).await?;
    let path = format!("/lms/modules/{}/lessons", text(&module, "/module_id"));
    let mut ids = Vec::new();
    for lesson in 0..lessons {
        let skill = ["extinguishing", "climbing"][lesson % 2];
        let body = json!({"title": "A lesson", "contentType": "VIDEO", "durationMinutes": 5, "skillKeys": [skill]});
        ids.push(text(&gateway.post(token, &path, body).await?, "/lesson_id"));
    }
    gateway.settle(Method::PATCH, token, &format!("/lms/courses/{id}/publish"), None).await?;
    Some(Course { id, lessons: ids })
}

fn text(answer: &Value, pointer: &str) -> String {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{pointer} is missing in {answer}")).to_owned()
}
