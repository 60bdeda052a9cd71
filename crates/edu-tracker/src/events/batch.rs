//! A batch of events, read and sorted by what they are about.

use std::collections::BTreeMap;

use careeros_shared::{
    Result,
    error::Error,
    events::{
        CourseCompleted, CoursePublished, Envelope, Event, LessonCompleted, MilestoneCompleted, ProfileUpdated,
        QuizSubmitted,
    },
    validate::Checks,
};
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::{
    activity::{Activity, Deed},
    catalogue::Publication,
    learners::ZoneChange,
};

/// The longest skill key in characters, as in profiles.
const SKILL_KEY_MAX: usize = 128;

/// Events by what they are about.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) publications: Vec<Publication>,
    pub(super) activities: Vec<Activity>,
    pub(super) zones: Vec<ZoneChange>,
}

impl Batch {
    /// Reads `events`.
    ///
    /// # Errors
    /// 400 where one of them is not as the contract says.
    pub(super) fn parse(events: &[Envelope]) -> Result<Self> {
        let mut batch = Self::default();
        for envelope in events {
            match envelope.event_type.as_str() {
                CoursePublished::TYPE => batch.publications.push(publication(envelope)?),
                ProfileUpdated::TYPE => batch.zones.extend(zone_change(envelope)?),
                _ => batch.activities.push(activity(envelope)?),
            }
        }
        Ok(batch)
    }

    /// Everybody whom the batch is about, with their tenants.
    ///
    /// # Errors
    /// 400 where a user is said to belong to two tenants.
    pub(super) fn users(&self) -> Result<BTreeMap<Uuid, Uuid>> {
        let active = self.activities.iter().map(|activity| (activity.user_id, activity.tenant_id));
        let mut users = BTreeMap::new();
        for (user_id, tenant_id) in active.chain(self.zones.iter().map(|change| (change.user_id, change.tenant_id))) {
            if *users.entry(user_id).or_insert(tenant_id) != tenant_id {
                return Err(Error::invalid("tenant_id", "is not the same in all events of the user"));
            }
        }
        Ok(users)
    }
}

fn publication(envelope: &Envelope) -> Result<Publication> {
    let CoursePublished { course_id, version, lessons } = envelope.payload()?;
    let version =
        i32::try_from(version).map_err(|_| Error::invalid("payload.version", "must be 2147483647 or less"))?;
    check_keys(lessons.iter().flat_map(|lesson| &lesson.skill_keys))?;
    let (tenant_id, at) = (envelope.tenant()?, instant(envelope)?);
    Ok(Publication { tenant_id, event_id: envelope.event_id, at, course_id, version, lessons })
}

/// `None` where the profile's time zone is not what has changed.
fn zone_change(envelope: &Envelope) -> Result<Option<ZoneChange>> {
    let ProfileUpdated { user_id, timezone: Some(name), .. } = envelope.payload()? else { return Ok(None) };
    let zone: Tz = name
        .parse()
        .map_err(|_| Error::invalid("payload.timezone", "must be an IANA time zone such as Europe/Berlin"))?;
    let (tenant_id, at) = (envelope.tenant()?, instant(envelope)?);
    Ok(Some(ZoneChange { tenant_id, user_id, event_id: envelope.event_id, at, zone }))
}

fn activity(envelope: &Envelope) -> Result<Activity> {
    let (user_id, deed) = match envelope.event_type.as_str() {
        LessonCompleted::TYPE => {
            let lesson: LessonCompleted = envelope.payload()?;
            let (course_id, lesson_id, minutes) = (lesson.course_id, lesson.lesson_id, lesson.time_spent_minutes);
            (lesson.user_id, Deed::Lesson { course_id, lesson_id, minutes })
        }
        QuizSubmitted::TYPE => {
            let quiz: QuizSubmitted = envelope.payload()?;
            if !(0.0..=100.0).contains(&quiz.score) {
                return Err(Error::invalid("payload.score", "must be from 0 to 100"));
            }
            check_keys(quiz.items.iter().map(|item| &item.skill_key))?;
            let (course_id, lesson_id, score) = (quiz.course_id, quiz.lesson_id, quiz.score);
            let answers = quiz.items.into_iter().map(|item| (item.skill_key, item.correct)).collect();
            (quiz.user_id, Deed::Quiz { course_id, lesson_id, score, answers })
        }
        CourseCompleted::TYPE => {
            let CourseCompleted { user_id, course_id, .. } = envelope.payload()?;
            (user_id, Deed::Course { course_id })
        }
        MilestoneCompleted::TYPE => {
            let MilestoneCompleted { .. } = envelope.payload()?;
            let user_id = envelope.user()?.ok_or_else(|| Error::invalid("user_id", "is required"))?;
            (user_id, Deed::Milestone)
        }
        other => return Err(Error::invalid("event_type", format!("{other} is none that this consumer knows"))),
    };
    let (tenant_id, at) = (envelope.tenant()?, instant(envelope)?);
    Ok(Activity { tenant_id, user_id, event_id: envelope.event_id, at, deed })
}

/// When the event happened, in what PostgreSQL can store and calendars can count.
fn instant(envelope: &Envelope) -> Result<DateTime<Utc>> {
    if !(1970..=9999).contains(&envelope.occurred_at.year()) {
        return Err(Error::invalid("occurred_at", "must be in the years 1970 to 9999"));
    }
    Ok(envelope.occurred_at.trunc_subsecs(6))
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
        Batch::parse(std::slice::from_ref(envelope)).unwrap_err().fields()[0].field.clone()
    }

    fn quiz(score: f64, skill_key: &str) -> Envelope {
        let item = QuizItem { item_id: "1".into(), skill_key: skill_key.into(), correct: true };
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
        assert_eq!(refused(&Envelope { event_version: 2, ..quiz(50.0, "rust") }), "event_type");
        assert_eq!(refused(&Envelope { event_type: "UserLoggedIn".into(), ..quiz(50.0, "rust") }), "event_type");
        assert_eq!(refused(&Envelope { tenant_id: "acme".into(), ..quiz(50.0, "rust") }), "tenant_id");
        let early = DateTime::from_timestamp(-1, 0).unwrap();
        assert_eq!(refused(&Envelope { occurred_at: early, ..quiz(50.0, "rust") }), "occurred_at");
        let profile = ProfileUpdated {
            user_id: Uuid::nil(),
            updated_fields: vec!["timezone".into()],
            timezone: Some("Mars/Olympus".into()),
        };
        assert_eq!(refused(&testing::envelope(Uuid::nil(), None, testing::start(), &profile)), "payload.timezone");
    }

    #[test]
    fn a_milestones_user_is_the_envelopes() {
        let done =
            MilestoneCompleted { milestone_id: Uuid::nil(), roadmap_id: Uuid::nil(), completed_at: testing::start() };
        let user_id = Uuid::from_u128(7);
        let envelope = testing::envelope(Uuid::nil(), Some(user_id), testing::start(), &done);
        assert_eq!(Batch::parse(std::slice::from_ref(&envelope)).unwrap().activities[0].user_id, user_id);
        assert_eq!(refused(&Envelope { user_id: None, ..envelope }), "user_id");
    }

    #[test]
    fn a_profile_update_without_a_time_zone_makes_nobody_a_learner() {
        let profile = ProfileUpdated { user_id: Uuid::nil(), updated_fields: vec!["bio".into()], timezone: None };
        let envelope = testing::envelope(Uuid::nil(), None, testing::start(), &profile);
        assert!(Batch::parse(&[envelope]).unwrap().users().unwrap().is_empty());
    }
}
