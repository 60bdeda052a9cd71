//! The requests that are measured: what is sent, which service answers, and what has to be stored of it.

use careeros_shared::events::{AiFlowExecuted, Event as _, LessonCompleted, RoadmapCreated};
use serde_json::{Value, json};

use super::{
    courses::{ALL_LESSONS, course_of},
    load::Requests,
    numbered::Kind,
};
use crate::{fleet::Service, people::User};

/// Goals that each user can set before the first is set again.
const GOALS: u64 = 4000;
pub(super) const ROLE: &str = "Backend Engineer";
pub(super) const WEEKS: u16 = 12;
pub(super) const STAGES: [&str; 4] = ["Foundation", "Services", "Operations", "Interviews"];
const MINUTES: u16 = 25;

/// A kind of request to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Path {
    Health,
    Profile,
    Flow,
    Roadmap,
    Lesson,
}

/// What a request leaves behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    /// Counts what requests have stored.
    pub(super) count: &'static str,
    /// Gets one event for each of them.
    pub(super) topic: &'static str,
    /// Counts that have to be equal: what it is of, and two queries.
    pub(super) equal: &'static [(&'static str, &'static str, &'static str)],
}

impl Path {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Health, Self::Profile, Self::Flow, Self::Roadmap, Self::Lesson];

    /// What figures call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Profile => "profile",
            Self::Flow => "flow",
            Self::Roadmap => "roadmap",
            Self::Lesson => "lesson",
        }
    }

    /// The services behind the gateway that take part.
    pub(super) fn services(self) -> &'static [Service] {
        match self {
            Self::Health => &[],
            Self::Profile => &[Service::Profile],
            Self::Flow => &[Service::AiCore, Service::Billing],
            Self::Roadmap => &[Service::Roadmap],
            Self::Lesson => &[Service::Lms],
        }
    }

    /// The database of the first of them.
    pub(super) fn database(self) -> Option<&'static str> {
        match self {
            Self::Health => None,
            Self::Profile => Some("user_profile"),
            Self::Flow => Some("ai_core"),
            Self::Roadmap => Some("roadmap"),
            Self::Lesson => Some("lms"),
        }
    }

    /// What each request leaves in that database.
    pub(super) fn stored(self) -> Option<Stored> {
        match self {
            Self::Health | Self::Profile => None,
            Self::Flow => Some(Stored {
                count: "select count(*) from ai_outputs",
                topic: AiFlowExecuted::TOPIC,
                equal: &[
                    ("usages", "select count(*) from ai_outputs", "select count(*) from token_usage"),
                    ("conversations", "select count(*) from ai_outputs", "select count(*) from ai_conversations"),
                ],
            }),
            Self::Roadmap => Some(Stored {
                count: "select count(*) from roadmaps",
                topic: RoadmapCreated::TOPIC,
                equal: &[
                    ("stages", "select 4 * count(*) from roadmaps", "select count(*) from stages"),
                    (
                        "roadmaps of their goal's user with all stages and milestones",
                        "select count(*) from roadmaps",
                        "select count(*) from roadmaps r join career_goals g
                             on g.id = r.goal_id and g.user_id = r.user_id and g.tenant_id = r.tenant_id
                         where (select count(distinct s.id) from stages s join milestones m on m.stage_id = s.id
                                where s.roadmap_id = r.id and s.tenant_id = r.tenant_id) = 4",
                    ),
                ],
            }),
            Self::Lesson => Some(Stored {
                count: "select count(*) from lesson_completions",
                topic: LessonCompleted::TOPIC,
                equal: &[
                    (
                        "progress",
                        "select count(*) from lesson_completions",
                        "select sum(completed_lessons)::bigint from enrollments",
                    ),
                    (
                        "certificates",
                        "select count(*) from enrollments where status = 'COMPLETED'",
                        "select count(*) from certificates",
                    ),
                ],
            }),
        }
    }

    /// The method, the path, and the body of request `number` of a user.
    pub(super) fn request(self, user: &User, number: u64) -> (&'static str, String, Option<Value>) {
        let (id, tenant_id) = (user.id, user.tenant_id);
        match self {
            Self::Health => ("GET", "/health".to_owned(), None),
            Self::Profile => ("GET", format!("/v1/profiles/{id}"), None),
            Self::Flow => ("POST", "/v1/ai/flows/execute".to_owned(), Some(user.flow())),
            Self::Roadmap => {
                let goal = Kind::Goal.id(number % GOALS);
                let body = json!({
                    "userId": id, "tenantId": tenant_id, "targetRole": ROLE, "timelineWeeks": WEEKS,
                    "stageTitles": STAGES, "goalKey": goal
                });
                ("POST", "/v1/roadmaps".to_owned(), Some(body))
            }
            Self::Lesson => {
                let lesson = number % ALL_LESSONS;
                let body = json!({
                    "userId": id, "tenantId": tenant_id, "timeSpentMinutes": MINUTES,
                    "courseId": Kind::Course.id(course_of(lesson)), "lessonId": Kind::Lesson.id(lesson)
                });
                ("POST", "/v1/lms/lessons/complete".to_owned(), Some(body))
            }
        }
    }

    /// How many different requests each user has.
    fn variants(self) -> u64 {
        match self {
            Self::Health | Self::Profile | Self::Flow => 1,
            Self::Roadmap => GOALS,
            Self::Lesson => ALL_LESSONS,
        }
    }

    /// The requests of all users, the users taking turns.
    pub(super) fn requests(self, users: &[User]) -> Requests {
        let wire = |user, number| wire(self.request(user, number), user);
        let Some(user) = users.first() else { return Requests { firsts: Vec::new(), seconds: Vec::new() } };
        // How a user's requests end in which they differ; nothing in it is of the user.
        let first = wire(user, 0);
        let same = |(a, b): &(u8, u8)| a == b;
        let common = |number| first.bytes().zip(wire(user, number).bytes()).take_while(same).count();
        let end = first.len() - (1..self.variants()).map(common).min().unwrap_or(first.len());
        let firsts = users.iter().map(|user| {
            let mut request = wire(user, 0);
            request.truncate(request.len() - end);
            request
        });
        let seconds = (0..self.variants()).map(|number| wire(user, number)[first.len() - end..].to_owned());
        Requests { firsts: firsts.collect(), seconds: seconds.collect() }
    }
}

/// A request as it goes over the wire.
fn wire((method, path, body): (&str, String, Option<Value>), user: &User) -> String {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    let token = &user.token;
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{length}\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Vec<User> {
        let user = |number: u64| User {
            id: Kind::User.id(number),
            tenant_id: Kind::Tenant.id(number),
            token: "token".repeat(1 + usize::try_from(number).unwrap()),
            name: format!("Person {number}"),
        };
        (0..3).map(user).collect()
    }

    #[test]
    fn requests_in_two_parts_are_the_whole_ones() {
        let users = users();
        for path in Path::ALL {
            let Requests { firsts, seconds } = path.requests(&users);
            assert_eq!((firsts.len(), seconds.len() as u64), (3, path.variants()), "{path:?}");
            for (user, first) in users.iter().zip(&firsts) {
                let last = path.variants() - 1;
                let whole = wire(path.request(user, last), user);
                assert_eq!(format!("{first}{}", seconds[seconds.len() - 1]), whole, "{path:?}");
                assert!(!whole.contains('\u{1e}'));
            }
        }
    }
}
