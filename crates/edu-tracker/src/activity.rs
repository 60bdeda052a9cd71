//! Activity: what learners do, logged by instant.

use std::collections::HashSet;

use careeros_shared::{Result, db::Tx, id};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The metric of a completed lesson: minutes.
pub(crate) const LESSON_MINUTES: &str = "lesson_minutes";
/// The metric of a completed course: 1.
pub(crate) const COURSE_COMPLETED: &str = "course_completed";
/// The metric of a completed milestone: 1.
pub(crate) const MILESTONE_COMPLETED: &str = "milestone_completed";
/// The metric of a submitted quiz: 0 to 100.
const QUIZ_SCORE: &str = "quiz_score";

/// Something that a learner did.
#[derive(Debug, Clone)]
pub struct Activity {
    /// The learner's tenant.
    pub tenant_id: Uuid,
    /// The learner.
    pub user_id: Uuid,
    /// The event that told of it.
    pub event_id: Uuid,
    /// When it happened: the event's `occurred_at`.
    pub at: DateTime<Utc>,
    /// What it was.
    pub deed: Deed,
}

/// What was done. Each counts as activity of its day.
#[derive(Debug, Clone)]
pub enum Deed {
    /// A lesson completed in so many minutes.
    Lesson {
        /// The course.
        course_id: Uuid,
        /// The lesson.
        lesson_id: Uuid,
        /// The time spent on it.
        minutes: u32,
    },
    /// A quiz submitted.
    Quiz {
        /// The course.
        course_id: Uuid,
        /// The lesson.
        lesson_id: Uuid,
        /// 0 to 100.
        score: f64,
        /// Per item its skill and whether the answer was correct.
        answers: Vec<(String, bool)>,
    },
    /// Every lesson of a course completed.
    Course {
        /// The course.
        course_id: Uuid,
    },
    /// A milestone of a roadmap reached.
    Milestone,
}

impl Deed {
    /// The type of the event that tells of it, the metric in the log, and its value.
    fn metric(&self) -> (&'static str, &'static str, f64) {
        match self {
            Self::Lesson { minutes, .. } => ("LessonCompleted", LESSON_MINUTES, f64::from(*minutes)),
            Self::Quiz { score, .. } => ("QuizSubmitted", QUIZ_SCORE, *score),
            Self::Course { .. } => ("CourseCompleted", COURSE_COMPLETED, 1.0),
            Self::Milestone => ("MilestoneCompleted", MILESTONE_COMPLETED, 1.0),
        }
    }

    /// The course and the lesson that it is part of.
    pub fn place(&self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::Lesson { course_id, lesson_id, .. } | Self::Quiz { course_id, lesson_id, .. } => {
                (Some(*course_id), Some(*lesson_id))
            }
            Self::Course { course_id } => (Some(*course_id), None),
            Self::Milestone => (None, None),
        }
    }
}

/// Writes `activities` into the log and returns those that were not in it.
///
/// # Errors
/// 503 where the database is away.
pub async fn log(tx: &mut Tx, now: DateTime<Utc>, mut activities: Vec<Activity>) -> Result<Vec<Activity>> {
    if activities.is_empty() {
        return Ok(activities);
    }
    let metrics: Vec<_> = activities.iter().map(|activity| activity.deed.metric()).collect();
    let places: Vec<_> = activities.iter().map(|activity| activity.deed.place()).collect();
    let fresh: HashSet<Uuid> = sqlx::query_scalar!(
        "insert into progress_logs (id, tenant_id, user_id, source_event_type, source_event_id, metric_key, metric_value,
                                    course_id, lesson_id, recorded_at)
         select id, tenant_id, user_id, source_event_type, source_event_id, metric_key, metric_value, course_id, lesson_id,
                recorded_at
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::float8[], $8::uuid[],
                     $9::uuid[], $10::timestamptz[])
             as n(id, tenant_id, user_id, source_event_type, source_event_id, metric_key, metric_value, course_id,
                  lesson_id, recorded_at)
         on conflict on constraint progress_logs_source_event_id_metric_key_key do nothing
         returning source_event_id",
        &activities.iter().map(|_| id::new(now)).collect::<Vec<_>>(),
        &activities.iter().map(|activity| activity.tenant_id).collect::<Vec<_>>(),
        &activities.iter().map(|activity| activity.user_id).collect::<Vec<_>>(),
        &metrics.iter().map(|(event_type, ..)| (*event_type).to_owned()).collect::<Vec<_>>(),
        &activities.iter().map(|activity| activity.event_id).collect::<Vec<_>>(),
        &metrics.iter().map(|(_, metric, _)| (*metric).to_owned()).collect::<Vec<_>>(),
        &metrics.iter().map(|(.., value)| *value).collect::<Vec<_>>(),
        &places.iter().map(|(course_id, _)| *course_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &places.iter().map(|(_, lesson_id)| *lesson_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &activities.iter().map(|activity| activity.at).collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await?
    .into_iter()
    .collect();
    activities.retain(|activity| fresh.contains(&activity.event_id));
    Ok(activities)
}
