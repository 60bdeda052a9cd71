//! What the service consumes, and how a batch of it reaches the tables.
//!
//! A batch is worked off in sets: what it teaches about courses, then the lock on every learner concerned, then sums, then
//! scores, and at last the events that tell of what has changed. Locks are always taken in this order (catalogue, learners
//! by id), so that two consumers cannot wait for each other.

use std::collections::BTreeMap;

use careeros_shared::{
    Result,
    clock::Clock,
    consumer::Handler,
    context::Context,
    db::Tx,
    error::Error,
    events::{
        CourseCompleted, CoursePublished, Envelope, Event, LessonCompleted, MilestoneCompleted, ProfileUpdated,
        QuizSubmitted,
    },
    outbox,
    validate::Checks,
};
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::{
    activity::{self, Activity, Deed},
    catalogue::{self, Publication},
    days, evidence,
    learners::{self, ZoneChange},
    mastery, productivity,
};

/// The consumer group.
pub const GROUP: &str = "edutracker-lms-progress-v1";

/// What the group reads.
pub const TOPICS: [&str; 6] = [
    CoursePublished::TOPIC,
    LessonCompleted::TOPIC,
    QuizSubmitted::TOPIC,
    CourseCompleted::TOPIC,
    MilestoneCompleted::TOPIC,
    ProfileUpdated::TOPIC,
];

/// The longest skill key in characters, as in profiles.
const SKILL_KEY_MAX: usize = 128;

/// Applies learning events.
#[derive(Debug, Clone)]
pub struct Tracker {
    /// Says as of when streaks and weeks are stored.
    pub clock: Clock,
}

impl Handler for Tracker {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        let batch = Batch::parse(events)?;
        let context = Context::internal(self.clock.now());
        let (catalogue, retaught) = catalogue::publish(tx, &batch.publications, &batch.activities).await?;
        let mut users = batch.users();
        users.extend(evidence::learners_of(tx, &retaught).await?);
        if users.is_empty() {
            return Ok(());
        }
        let mut learners = learners::lock(tx, &users).await?;
        let moved = learners::set_zones(tx, &mut learners, &batch.zones).await?;
        // Before this batch is logged: its own evidence is of the new catalogue already.
        let mut touched = evidence::reteach(tx, &retaught).await?;
        let activities = activity::log(tx, context.now, batch.activities).await?;
        let stayed: Vec<_> = activities
            .iter()
            .filter(|activity| !moved.contains(&activity.user_id))
            .collect();
        days::add(tx, &learners, &stayed).await?;
        days::rebuild(tx, &learners, &moved).await?;
        touched.extend(evidence::add(tx, &catalogue, &activities).await?);

        let mut changes = mastery::recompute(tx, &context, &learners, touched).await?;
        changes.extend(productivity::recompute(tx, &context, &learners).await?);
        outbox::publish_all(tx, &context, &changes).await
    }
}

/// Events, read and sorted by what they are about.
#[derive(Debug, Default)]
struct Batch {
    publications: Vec<Publication>,
    activities: Vec<Activity>,
    zones: Vec<ZoneChange>,
}

impl Batch {
    fn parse(events: &[Envelope]) -> Result<Self> {
        let mut batch = Self::default();
        for envelope in events {
            batch.add(envelope)?;
        }
        Ok(batch)
    }

    fn add(&mut self, envelope: &Envelope) -> Result<()> {
        let at = instant(envelope)?;
        let (tenant_id, event_id) = (envelope.tenant()?, envelope.event_id);
        let mut act = |user_id, deed| {
            self.activities.push(Activity {
                tenant_id,
                user_id,
                event_id,
                at,
                deed,
            })
        };
        match envelope.event_type.as_str() {
            LessonCompleted::TYPE => {
                let LessonCompleted {
                    lesson_id,
                    course_id,
                    user_id,
                    time_spent_minutes: minutes,
                    ..
                } = envelope.payload()?;
                act(
                    user_id,
                    Deed::Lesson {
                        course_id,
                        lesson_id,
                        minutes,
                    },
                );
            }
            QuizSubmitted::TYPE => {
                let quiz: QuizSubmitted = envelope.payload()?;
                check(&quiz)?;
                let answers = quiz
                    .items
                    .into_iter()
                    .map(|item| (item.skill_key, item.correct))
                    .collect();
                let (course_id, lesson_id) = (quiz.course_id, quiz.lesson_id);
                act(
                    quiz.user_id,
                    Deed::Quiz {
                        course_id,
                        lesson_id,
                        score: quiz.score,
                        answers,
                    },
                );
            }
            CourseCompleted::TYPE => {
                let CourseCompleted { user_id, course_id, .. } = envelope.payload()?;
                act(user_id, Deed::Course { course_id });
            }
            MilestoneCompleted::TYPE => {
                let MilestoneCompleted { .. } = envelope.payload()?;
                let user_id = envelope
                    .user()?
                    .ok_or_else(|| Error::invalid("user_id", "is required"))?;
                act(user_id, Deed::Milestone);
            }
            ProfileUpdated::TYPE => {
                let ProfileUpdated { user_id, timezone, .. } = envelope.payload()?;
                if let Some(name) = timezone {
                    let zone: Tz = name.parse().map_err(|_| {
                        Error::invalid("payload.timezone", "must be an IANA time zone such as Europe/Berlin")
                    })?;
                    self.zones.push(ZoneChange {
                        tenant_id,
                        user_id,
                        event_id,
                        at,
                        zone,
                    });
                }
            }
            CoursePublished::TYPE => {
                let CoursePublished {
                    course_id,
                    version,
                    lessons,
                } = envelope.payload()?;
                let version = i32::try_from(version)
                    .map_err(|_| Error::invalid("payload.version", "must be 2147483647 or less"))?;
                check_keys(lessons.iter().flat_map(|lesson| &lesson.skill_keys))?;
                self.publications.push(Publication {
                    tenant_id,
                    event_id,
                    at,
                    course_id,
                    version,
                    lessons,
                });
            }
            other => {
                return Err(Error::invalid(
                    "event_type",
                    format!("{other} is none that this consumer knows"),
                ));
            }
        }
        Ok(())
    }

    /// Everybody whom the batch is about, with their tenants.
    fn users(&self) -> BTreeMap<Uuid, Uuid> {
        let active = self
            .activities
            .iter()
            .map(|activity| (activity.user_id, activity.tenant_id));
        active
            .chain(self.zones.iter().map(|change| (change.user_id, change.tenant_id)))
            .collect()
    }
}

/// When the event happened, in what PostgreSQL can store and calendars can count.
fn instant(envelope: &Envelope) -> Result<DateTime<Utc>> {
    if !(1970..=9999).contains(&envelope.occurred_at.year()) {
        return Err(Error::invalid("occurred_at", "must be in the years 1970 to 9999"));
    }
    Ok(envelope.occurred_at.trunc_subsecs(6))
}

fn check(quiz: &QuizSubmitted) -> Result<()> {
    if !(0.0..=100.0).contains(&quiz.score) {
        return Err(Error::invalid("payload.score", "must be from 0 to 100"));
    }
    check_keys(quiz.items.iter().map(|item| &item.skill_key))
}

/// An empty key is no error: it stands for no skill.
fn check_keys<'a>(keys: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut checks = Checks::new();
    for key in keys {
        checks.text("payload.skill_key", key, 0, SKILL_KEY_MAX);
    }
    checks.finish()
}

#[cfg(test)]
mod tests {
    use careeros_shared::{events::QuizItem, testing};

    use super::*;

    fn refused(envelope: &Envelope) -> String {
        Batch::parse(std::slice::from_ref(envelope)).unwrap_err().fields()[0]
            .field
            .clone()
    }

    fn quiz(score: f64, skill_key: &str) -> Envelope {
        let item = QuizItem {
            item_id: "1".into(),
            skill_key: skill_key.into(),
            correct: true,
        };
        let id = Uuid::nil();
        let quiz = QuizSubmitted {
            user_id: id,
            course_id: id,
            lesson_id: id,
            quiz_id: id,
            attempt_id: id,
            score,
            passed: true,
            items: vec![item],
        };
        testing::envelope(id, None, testing::start(), &quiz)
    }

    #[test]
    fn what_is_wrong_with_an_event_is_named() {
        assert_eq!(refused(&quiz(100.5, "rust")), "payload.score");
        assert_eq!(refused(&quiz(50.0, &"x".repeat(129))), "payload.skill_key");
        assert_eq!(refused(&quiz(50.0, "a\0b")), "payload.skill_key");
        assert_eq!(
            refused(&Envelope {
                event_version: 2,
                ..quiz(50.0, "rust")
            }),
            "event_type"
        );
        assert_eq!(
            refused(&Envelope {
                event_type: "UserLoggedIn".into(),
                ..quiz(50.0, "rust")
            }),
            "event_type"
        );
        assert_eq!(
            refused(&Envelope {
                tenant_id: "acme".into(),
                ..quiz(50.0, "rust")
            }),
            "tenant_id"
        );
        let early = DateTime::from_timestamp(-1, 0).unwrap();
        assert_eq!(
            refused(&Envelope {
                occurred_at: early,
                ..quiz(50.0, "rust")
            }),
            "occurred_at"
        );
        let profile = ProfileUpdated {
            user_id: Uuid::nil(),
            updated_fields: vec!["timezone".into()],
            timezone: Some("Mars/Olympus".into()),
        };
        assert_eq!(
            refused(&testing::envelope(Uuid::nil(), None, testing::start(), &profile)),
            "payload.timezone"
        );
    }

    #[test]
    fn a_milestones_user_is_the_envelopes() {
        let done = MilestoneCompleted {
            milestone_id: Uuid::nil(),
            roadmap_id: Uuid::nil(),
            completed_at: testing::start(),
        };
        let user_id = Uuid::from_u128(7);
        let envelope = testing::envelope(Uuid::nil(), Some(user_id), testing::start(), &done);
        assert_eq!(
            Batch::parse(std::slice::from_ref(&envelope)).unwrap().activities[0].user_id,
            user_id
        );
        assert_eq!(
            refused(&Envelope {
                user_id: None,
                ..envelope
            }),
            "user_id"
        );
    }

    #[test]
    fn a_profile_update_without_a_time_zone_makes_nobody_a_learner() {
        let profile = ProfileUpdated {
            user_id: Uuid::nil(),
            updated_fields: vec!["bio".into()],
            timezone: None,
        };
        let envelope = testing::envelope(Uuid::nil(), None, testing::start(), &profile);
        assert!(Batch::parse(&[envelope]).unwrap().users().is_empty());
    }
}
