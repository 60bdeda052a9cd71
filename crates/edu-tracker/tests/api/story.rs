//! Events as the other services tell them.

use careeros_shared::{
    events::{
        CourseCompleted, CoursePublished, Envelope, LessonCompleted, MilestoneCompleted, ProfileUpdated,
        PublishedLesson, QuizItem, QuizSubmitted,
    },
    testing::{self, TestUser},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The course with this number.
pub(crate) fn course_id(course: u8) -> Uuid {
    Uuid::from_u128(0xc000 + u128::from(course))
}

/// The lesson with this number.
pub(crate) fn lesson_id(lesson: u8) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(lesson))
}

/// A lesson completed in `minutes`.
pub(crate) fn lesson(user: &TestUser, at: DateTime<Utc>, course: u8, lesson: u8, minutes: u32) -> Envelope {
    let event = LessonCompleted {
        lesson_id: lesson_id(lesson),
        course_id: course_id(course),
        user_id: user.id,
        completed_at: at,
        time_spent_minutes: minutes,
    };
    testing::envelope(user.tenant_id, Some(user.id), at, &event)
}

/// A quiz with these answers: skill, correct or not.
pub(crate) fn quiz(user: &TestUser, at: DateTime<Utc>, answers: &[(&str, bool)]) -> Envelope {
    let items = answers.iter().enumerate().map(|(index, (skill_key, correct))| QuizItem {
        item_id: index.to_string(),
        skill_key: (*skill_key).to_owned(),
        correct: *correct,
    });
    let event = QuizSubmitted {
        user_id: user.id,
        course_id: course_id(1),
        lesson_id: lesson_id(1),
        quiz_id: Uuid::from_u128(1),
        attempt_id: Uuid::from_u128(2),
        score: 50.0,
        passed: false,
        items: items.collect(),
    };
    testing::envelope(user.tenant_id, Some(user.id), at, &event)
}

/// Every lesson of a course completed.
pub(crate) fn course(user: &TestUser, at: DateTime<Utc>, course: u8) -> Envelope {
    let event = CourseCompleted { user_id: user.id, course_id: course_id(course), completed_at: at };
    testing::envelope(user.tenant_id, Some(user.id), at, &event)
}

/// A milestone reached.
pub(crate) fn milestone(user: &TestUser, at: DateTime<Utc>) -> Envelope {
    let event =
        MilestoneCompleted { milestone_id: Uuid::from_u128(3), roadmap_id: Uuid::from_u128(4), completed_at: at };
    testing::envelope(user.tenant_id, Some(user.id), at, &event)
}

/// A time zone set.
pub(crate) fn zone(user: &TestUser, at: DateTime<Utc>, name: &str) -> Envelope {
    let event = ProfileUpdated {
        user_id: user.id,
        updated_fields: vec!["timezone".to_owned()],
        timezone: Some(name.to_owned()),
    };
    testing::envelope(user.tenant_id, Some(user.id), at, &event)
}

/// A profile changed in what is no time zone.
pub(crate) fn profile(user: &TestUser, at: DateTime<Utc>) -> Envelope {
    let event = ProfileUpdated { user_id: user.id, updated_fields: vec!["bio".to_owned()], timezone: None };
    testing::envelope(user.tenant_id, Some(user.id), at, &event)
}

/// A course published with these lessons and their skills, by a tenant of its own.
pub(crate) fn published(at: DateTime<Utc>, course: u8, version: u32, lessons: &[(u8, &[&str])]) -> Envelope {
    let lessons = lessons.iter().map(|(lesson, skills)| PublishedLesson {
        lesson_id: lesson_id(*lesson),
        skill_keys: skills.iter().map(|key| (*key).to_owned()).collect(),
    });
    let event = CoursePublished { course_id: course_id(course), version, lessons: lessons.collect() };
    testing::envelope(Uuid::from_u128(0x7e), None, at, &event)
}
