//! Events: what each of the contract means to analytics.
//!
//! A batch is first added up in memory and then written, each table by one statement, whatever the batch's size.

use std::collections::BTreeMap;

use careeros_shared::{
    Error, Result,
    consumer::Handler,
    db::Tx,
    events::{
        AiFlowExecuted, CertificateIssued, CourseCompleted, CoursePublished, DocumentUploaded, EnrollmentCreated,
        Envelope, Event, InvoicePaid, LessonCompleted, MasteryScoreUpdated, MilestoneCompleted, ModelCallCompleted,
        PlanChanged, ProductivityScoreComputed, ProfileUpdated, QuizSubmitted, RoadmapCreated, RoadmapDraftGenerated,
        RoadmapUpdated, RoleChanged, SkillGapAnalyzed, SkillsUpdated, StreakUpdated, SubscriptionActivated,
        SubscriptionCanceled, SubscriptionRenewed, TOPICS, UserLoggedIn, UserRegistered,
    },
    projection::Projection,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    activity::Activity,
    ai_usage::AiUsage,
    funnel::{Funnel, Step},
    subscriptions::{Prices, Subscriptions},
};

/// The consumer group; it reads every topic.
pub const GROUP: &str = "analytics-global-v1";

/// What the group keeps. `kpi_daily`, `kpi_now` and `kpi_open` follow from it by [`crate::daily`], which the queue tells what to count
/// again: a rebuild queues every day that has a row, so that none stays that the events do not explain.
pub const PROJECTION: Projection = Projection {
    group: GROUP,
    topics: &TOPICS,
    tables: &["funnel_events", "activity_days", "ai_usage_analytics", "subscription_events", "plan_prices"],
    queues: &["kpi_changes"],
    reads: &["tenant_settings"],
    afterwards: &["insert into kpi_changes (tenant_id, since)
         select tenant_id, min(day)::timestamp at time zone time_zone_of(tenant_id) from kpi_daily group by tenant_id"],
};

/// Which event something comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The event's id.
    pub event_id: Uuid,
    /// The tenant that it belongs to.
    pub tenant_id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
}

/// Keeps the projections.
#[derive(Debug, Clone, Copy)]
pub struct Projections;

impl Handler for Projections {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        let mut batch = Batch::default();
        for envelope in events {
            batch.add(envelope)?;
        }
        batch.write(tx).await
    }
}

/// What a batch of events adds to the tables.
#[derive(Debug, Default)]
struct Batch {
    funnel: Funnel,
    activity: Activity,
    ai_usage: AiUsage,
    subscriptions: Subscriptions,
    prices: Prices,
    /// Tenants whose KPIs change, and since when.
    changes: BTreeMap<Uuid, DateTime<Utc>>,
}

impl Batch {
    /// Adds an event.
    ///
    /// A user is active by what they do: not by what the platform computes of it, by what an ADMIN or a payment does, or by
    /// what follows from an event that counts already (a course completed from its last lesson, a draft from an AI flow).
    ///
    /// # Errors
    /// 400 where the type or version is not of the contract or the payload is not valid.
    fn add(&mut self, envelope: &Envelope) -> Result<()> {
        let origin =
            Origin { event_id: envelope.event_id, tenant_id: envelope.tenant()?, occurred_at: envelope.occurred_at };
        match envelope.event_type.as_str() {
            UserRegistered::TYPE => {
                self.step(origin, Step::Signup, envelope.payload::<UserRegistered>()?.user_id);
            }
            RoadmapCreated::TYPE => {
                self.step(origin, Step::RoadmapCreated, envelope.payload::<RoadmapCreated>()?.user_id);
            }
            LessonCompleted::TYPE => {
                self.step(origin, Step::LessonCompleted, envelope.payload::<LessonCompleted>()?.user_id);
            }
            AiFlowExecuted::TYPE => {
                let run = envelope.payload::<AiFlowExecuted>()?;
                let user_id = envelope.user()?.ok_or_else(|| Error::invalid("user_id", "is required"))?;
                self.ai_usage.add(origin, user_id, run)?;
                self.step(origin, Step::AiFlow, user_id);
            }
            UserLoggedIn::TYPE => self.active(origin, envelope.payload::<UserLoggedIn>()?.user_id),
            ProfileUpdated::TYPE => self.active(origin, envelope.payload::<ProfileUpdated>()?.user_id),
            SkillsUpdated::TYPE => self.active(origin, envelope.payload::<SkillsUpdated>()?.user_id),
            DocumentUploaded::TYPE => self.active(origin, envelope.payload::<DocumentUploaded>()?.user_id),
            RoadmapUpdated::TYPE => self.active(origin, envelope.payload::<RoadmapUpdated>()?.user_id),
            EnrollmentCreated::TYPE => self.active(origin, envelope.payload::<EnrollmentCreated>()?.user_id),
            QuizSubmitted::TYPE => self.active(origin, envelope.payload::<QuizSubmitted>()?.user_id),
            MilestoneCompleted::TYPE => {
                envelope.payload::<MilestoneCompleted>()?;
                if let Some(user_id) = envelope.user()? {
                    self.active(origin, user_id);
                }
            }
            _ => return self.add_billing(origin, envelope),
        }
        Ok(())
    }

    fn add_billing(&mut self, origin: Origin, envelope: &Envelope) -> Result<()> {
        match envelope.event_type.as_str() {
            SubscriptionActivated::TYPE => {
                let event = envelope.payload::<SubscriptionActivated>()?;
                self.funnel.add(origin, Step::SubscriptionActivated, event.user_id);
                self.subscriptions.activated(origin, event)?;
                self.changed(origin);
            }
            SubscriptionRenewed::TYPE => {
                self.subscriptions.renewed(origin, envelope.payload()?)?;
                self.changed(origin);
            }
            SubscriptionCanceled::TYPE => {
                self.subscriptions.canceled(origin, envelope.payload()?);
                self.changed(origin);
            }
            PlanChanged::TYPE => self.prices.add(origin, envelope.payload()?)?,
            _ => return check_uncounted(envelope),
        }
        Ok(())
    }

    /// The user took a step of the funnel, which is activity too.
    fn step(&mut self, origin: Origin, step: Step, user_id: Uuid) {
        self.funnel.add(origin, step, Some(user_id));
        self.active(origin, user_id);
    }

    fn active(&mut self, origin: Origin, user_id: Uuid) {
        self.activity.add(origin, user_id);
        self.changed(origin);
    }

    fn changed(&mut self, origin: Origin) {
        let since = self.changes.entry(origin.tenant_id).or_insert(origin.occurred_at);
        *since = origin.occurred_at.min(*since);
    }

    async fn write(&self, tx: &mut Tx) -> Result<()> {
        self.funnel.write(tx).await?;
        self.activity.write(tx).await?;
        self.ai_usage.write(tx).await?;
        self.subscriptions.write(tx).await?;
        self.prices.write(tx).await?;
        if !self.changes.is_empty() {
            let (tenant_ids, since): (Vec<Uuid>, Vec<DateTime<Utc>>) = self.changes.iter().unzip();
            sqlx::query!(
                "insert into kpi_changes (tenant_id, since) select * from unnest($1::uuid[], $2::timestamptz[])",
                &tenant_ids,
                &since,
            )
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

/// Events that analytics counts nowhere still have to be valid: for some it is the only reader, and poison that nobody
/// reports stays unknown.
fn check_uncounted(envelope: &Envelope) -> Result<()> {
    let check: fn(&Envelope) -> Result<()> = match envelope.event_type.as_str() {
        RoleChanged::TYPE => valid::<RoleChanged>,
        SkillGapAnalyzed::TYPE => valid::<SkillGapAnalyzed>,
        RoadmapDraftGenerated::TYPE => valid::<RoadmapDraftGenerated>,
        ModelCallCompleted::TYPE => valid::<ModelCallCompleted>,
        CourseCompleted::TYPE => valid::<CourseCompleted>,
        CertificateIssued::TYPE => valid::<CertificateIssued>,
        CoursePublished::TYPE => valid::<CoursePublished>,
        MasteryScoreUpdated::TYPE => valid::<MasteryScoreUpdated>,
        StreakUpdated::TYPE => valid::<StreakUpdated>,
        ProductivityScoreComputed::TYPE => valid::<ProductivityScoreComputed>,
        InvoicePaid::TYPE => valid::<InvoicePaid>,
        unknown => {
            return Err(Error::invalid("event_type", format!("is {unknown}, which the contract does not have")));
        }
    };
    check(envelope)
}

fn valid<E: Event>(envelope: &Envelope) -> Result<()> {
    envelope.payload::<E>().map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn envelope(event_type: &str, event_version: u32, payload: Value) -> Envelope {
        Envelope {
            event_id: Uuid::nil(),
            event_type: event_type.to_owned(),
            event_version,
            occurred_at: DateTime::UNIX_EPOCH,
            source: String::new(),
            correlation_id: None,
            request_id: None,
            tenant_id: Uuid::nil().to_string(),
            user_id: Some(Uuid::nil().to_string()),
            payload,
        }
    }

    fn refused(envelope: &Envelope) -> (String, String) {
        let error = Batch::default().add(envelope).unwrap_err();
        (error.fields()[0].field.clone(), error.fields()[0].message.clone())
    }

    /// `careeros.roadmap.roadmap-created.v1` → `RoadmapCreated`.
    fn type_of(topic: &str) -> String {
        let words = topic.split('.').nth(2).unwrap().split('-');
        let capital = |word: &str| {
            if word == "ai" { "AI".to_owned() } else { word[..1].to_uppercase() + &word[1..] }
        };
        words.map(capital).collect()
    }

    #[test]
    fn the_event_of_every_topic_is_known_and_its_payload_checked() {
        for topic in TOPICS {
            let (field, message) = refused(&envelope(&type_of(topic), 1, json!({})));
            assert_eq!(field, "payload", "{topic}: {message}");
        }
    }

    #[test]
    fn another_version_and_an_unknown_type_are_refused_by_name() {
        for topic in TOPICS {
            let (field, message) = refused(&envelope(&type_of(topic), 2, json!({})));
            assert_eq!(field, "event_type");
            assert!(message.contains(&type_of(topic)) && message.contains("version 2"), "{message}");
        }
        let (field, message) = refused(&envelope("MoonLanded", 1, json!({})));
        assert_eq!(field, "event_type");
        assert!(message.contains("MoonLanded"), "{message}");
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        let payload = json!({"user_id": Uuid::nil(), "skill_key": "rust", "proficiency": 1.0});
        let mut skill = envelope("SkillsUpdated", 1, payload);
        skill.tenant_id = "acme".into();
        assert_eq!(refused(&skill).0, "tenant_id");
        let flow = json!({"execution_id": Uuid::nil(), "flow_name": "f", "flow_version": "v1", "status": "SUCCESS",
                          "latency_ms": 1, "total_cost_usd": 0});
        let mut flow = envelope("AIFlowExecuted", 1, flow);
        for user_id in [None, Some("ada".to_owned())] {
            flow.user_id = user_id;
            assert_eq!(refused(&flow).0, "user_id");
        }
    }

    #[test]
    fn values_outside_of_their_range_are_refused() {
        let (id, time) = (Uuid::nil(), DateTime::UNIX_EPOCH);
        let activated = json!({"subscription_id": id, "plan_code": "P", "activated_at": time, "status": "PAUSED"});
        let renewed = json!({"subscription_id": id, "plan_code": "P", "current_period_end": time, "mrr_usd": "-1"});
        let priced = |price: &str, interval: &str| json!({"plan_code": "P", "price_usd": price, "billing_interval": interval, "effective_at": time});
        let flow = json!({"execution_id": id, "flow_name": "f", "flow_version": "v1", "status": "SUCCESS",
                          "latency_ms": 1, "total_cost_usd": -0.01});
        for (event_type, payload, field) in [
            ("SubscriptionActivated", activated, "status"),
            ("SubscriptionRenewed", renewed, "mrr_usd"),
            ("PlanChanged", priced("-1", "MONTH"), "price_usd"),
            ("PlanChanged", priced("1", "FORTNIGHT"), "billing_interval"),
            ("AIFlowExecuted", flow, "total_cost_usd"),
        ] {
            assert_eq!(refused(&envelope(event_type, 1, payload)).0, field);
        }
    }

    #[test]
    fn only_what_a_user_does_is_activity() {
        let user_id = Uuid::from_u128(7);
        let streak = json!({"user_id": user_id, "streak_days": 3});
        let roles = json!({"user_id": user_id, "roles": ["ADMIN"], "changed_by": "operator"});
        let skill = json!({"user_id": user_id, "skill_key": "rust", "proficiency": 1.0});
        for (event_type, payload, counts) in
            [("StreakUpdated", streak, false), ("RoleChanged", roles, false), ("SkillsUpdated", skill, true)]
        {
            let mut batch = Batch::default();
            batch.add(&envelope(event_type, 1, payload)).unwrap();
            assert_eq!(batch.activity != Activity::default(), counts, "{event_type}");
            assert_eq!(!batch.changes.is_empty(), counts, "{event_type}");
        }
    }
}
