//! What the service consumes, and how a batch of it reaches the tables.
//!
//! A batch is worked off in sets: what it teaches about courses, then the lock on every learner concerned, then sums, then
//! scores, and at last the events that tell of what has changed. Locks are always taken in this order (catalogue, learners
//! by id), so that two consumers cannot wait for each other.

use careeros_shared::{
    Result,
    clock::Clock,
    consumer::Handler,
    context::Context,
    db::Tx,
    events::{
        CourseCompleted, CoursePublished, Envelope, Event, LessonCompleted, MilestoneCompleted, ProfileUpdated,
        QuizSubmitted,
    },
    outbox,
    projection::Projection,
};

use self::batch::Batch;
use crate::{activity, catalogue, days, evidence, learners, mastery, productivity};

mod batch;

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

/// What the group keeps.
pub const PROJECTION: Projection = Projection {
    group: GROUP,
    topics: &TOPICS,
    tables: &[
        "learners",
        "progress_logs",
        "activity_weeks",
        "lesson_skills",
        "skill_days",
        "mastery_scores",
        "productivity_metrics",
    ],
    queues: &[],
    reads: &[],
    afterwards: &[],
};

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
        let mut users = batch.users()?;
        users.extend(evidence::learners_of(tx, &retaught).await?);
        if users.is_empty() {
            return Ok(());
        }
        let mut learners = learners::lock(tx, &users).await?;
        let moved = learners::set_zones(tx, &mut learners, &batch.zones).await?;
        // Before this batch is logged: its own evidence is of the new catalogue already.
        let touched = evidence::reteach(tx, &retaught).await?;
        let activities = activity::log(tx, context.now, batch.activities).await?;
        let stayed: Vec<_> = activities.iter().filter(|activity| !moved.contains(&activity.user_id)).collect();
        days::add(tx, &learners, &stayed).await?;
        days::rebuild(tx, &learners, &moved).await?;
        let touched = touched.and(evidence::add(tx, &catalogue, &activities).await?);

        let mut changes = mastery::recompute(tx, &context, &learners, touched).await?;
        changes.extend(productivity::recompute(tx, &context, &learners).await?);
        outbox::publish_all(tx, changes).await
    }
}
