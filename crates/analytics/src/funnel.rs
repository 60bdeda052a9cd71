//! The funnel: the steps by which visitors become users who stay and pay, one row an event.

use careeros_shared::{Result, db::Tx};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::events::Origin;

/// A step, as `funnel_events.funnel_step` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An account was made.
    Signup,
    /// A roadmap was made.
    RoadmapCreated,
    /// A lesson was completed.
    LessonCompleted,
    /// A subscription became live.
    SubscriptionActivated,
    /// An AI flow was run.
    AiFlow,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Signup => "activation.signup",
            Self::RoadmapCreated => "activation.roadmap_created",
            Self::LessonCompleted => "activation.lesson_completed",
            Self::SubscriptionActivated => "conversion.subscription_activated",
            Self::AiFlow => "engagement.ai_flow",
        }
    }
}

/// Steps taken, column by column, as `unnest` takes them.
#[derive(Debug, Default)]
pub struct Funnel {
    ids: Vec<Uuid>,
    tenant_ids: Vec<Uuid>,
    user_ids: Vec<Option<Uuid>>,
    steps: Vec<&'static str>,
    times: Vec<DateTime<Utc>>,
}

impl Funnel {
    /// Adds a step that `user_id` took, or an organisation where it is absent.
    pub fn add(&mut self, origin: Origin, step: Step, user_id: Option<Uuid>) {
        self.ids.push(origin.event_id);
        self.tenant_ids.push(origin.tenant_id);
        self.user_ids.push(user_id);
        self.steps.push(step.as_str());
        self.times.push(origin.occurred_at);
    }

    /// Writes the steps.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn write(&self, tx: &mut Tx) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into funnel_events (id, tenant_id, user_id, funnel_step, occurred_at)
             select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[])
             on conflict on constraint funnel_events_pkey do nothing",
            &self.ids,
            &self.tenant_ids,
            &self.user_ids as &[Option<Uuid>],
            &self.steps as &[&str],
            &self.times,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
