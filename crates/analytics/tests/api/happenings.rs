//! What happens to users, tenants and subscriptions, in events of every type of the contract.

use careeros_shared::{
    events::{
        AiFlowExecuted, CertificateIssued, CourseCompleted, CoursePublished, DocumentUploaded, EnrollmentCreated,
        Envelope, Event, InvoicePaid, LessonCompleted, MasteryScoreUpdated, MilestoneCompleted, ModelCallCompleted,
        PlanChanged, ProductivityScoreComputed, ProfileUpdated, PublishedLesson, QuizItem, QuizSubmitted,
        RoadmapCreated, RoadmapDraftGenerated, RoadmapUpdated, RoleChanged, SkillGapAnalyzed, StreakUpdated,
        SubscriptionActivated, SubscriptionCanceled, SubscriptionRenewed, UserLoggedIn, UserRegistered,
    },
    testing,
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::{prelude::*, sample::select};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{activity, projections, time};

pub(crate) const TENANTS: u128 = 2;
pub(crate) const PLANS: [&str; 2] = ["P", "Y"];
/// After the change to summer time in London and before the one back in Chatham.
pub(crate) const NOW: &str = "2026-03-31T12:00:00Z";

/// Types by which a user is active and nothing else follows.
const ACTIVE: usize = 8;
/// Types that count nowhere.
const UNCOUNTED: usize = 12;

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Register,
    Roadmap,
    Lesson,
    Active { kind: usize },
    Uncounted { kind: usize },
    Flow { name: &'static str, cost: u32 },
    Activate { subscription: u128, plan: &'static str, status: &'static str },
    Renew { subscription: u128, mrr: u32 },
    Cancel { subscription: u128 },
    Price { plan: &'static str, price: u32, days: i64 },
}

/// Something that happened `quarters` of an hour before [`NOW`] and a few seconds.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    pub(crate) tenant: u128,
    pub(crate) user: u128,
    quarters: i64,
    pub(crate) act: Act,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Register),
        1 => Just(Act::Roadmap),
        2 => Just(Act::Lesson),
        4 => (0..ACTIVE).prop_map(|kind| Act::Active { kind }),
        2 => (0..UNCOUNTED).prop_map(|kind| Act::Uncounted { kind }),
        2 => (select(&["a", "b"][..]), 0..500_000_u32).prop_map(|(name, cost)| Act::Flow { name, cost }),
        2 => (0..4_u128, select(&PLANS[..]), select(&["ACTIVE", "TRIAL", "PAST_DUE"][..]))
            .prop_map(|(subscription, plan, status)| Act::Activate { subscription, plan, status }),
        1 => (0..4_u128, 0..50_000_u32).prop_map(|(subscription, mrr)| Act::Renew { subscription, mrr }),
        1 => (0..4_u128).prop_map(|subscription| Act::Cancel { subscription }),
        1 => (select(&PLANS[..]), 0..50_000_u32, -3..4_i64)
            .prop_map(|(plan, price, days)| Act::Price { plan, price, days }),
    ]
}

pub(crate) fn happening() -> impl Strategy<Value = Happening> {
    // Half of it within the last two days, where midnights matter; some by a clock that was hours ahead.
    let quarters = prop_oneof![5 => 0..200_i64, 5 => 0..3_100_i64, 1 => -80..0_i64];
    (0..TENANTS, 0..3_u128, quarters, act()).prop_map(|(tenant, user, quarters, act)| Happening {
        tenant,
        user,
        quarters,
        act,
    })
}

pub(crate) fn tenant(number: u128) -> Uuid {
    Uuid::from_u128(10 + number)
}

impl Happening {
    pub(crate) fn at(&self) -> DateTime<Utc> {
        time(NOW) - TimeDelta::minutes(15 * self.quarters) - TimeDelta::seconds(7)
    }

    /// Whether the user is active by it.
    pub(crate) fn is_activity(&self) -> bool {
        matches!(self.act, Act::Register | Act::Roadmap | Act::Lesson | Act::Active { .. } | Act::Flow { .. })
    }

    /// The event, whose id is the same in every run; of two at the same time the later has the greater.
    pub(crate) fn envelope(&self, index: usize) -> Envelope {
        let (id, at) = (Uuid::from_u128(100 * (self.tenant + 1) + self.user), self.at());
        let user = About { tenant_id: tenant(self.tenant), user_id: Some(id), at };
        let mut envelope = match self.act.clone() {
            Act::Register => {
                user.tells(&UserRegistered { user_id: id, email: String::new(), registered_at: at, default_role: None })
            }
            Act::Roadmap => {
                user.tells(&RoadmapCreated { roadmap_id: id, user_id: id, goal_key: "g".into(), version: 1 })
            }
            Act::Lesson => user.tells(&LessonCompleted {
                lesson_id: id,
                course_id: id,
                user_id: id,
                completed_at: at,
                time_spent_minutes: 1,
            }),
            Act::Active { kind } => active(user, id, kind),
            Act::Uncounted { kind } => uncounted(user, id, kind),
            Act::Flow { name, cost } => {
                let total_cost_usd = Decimal::new(cost.into(), 6);
                user.tells(&AiFlowExecuted { total_cost_usd, ..projections::flow(name, "SUCCESS", Decimal::ZERO) })
            }
            act => self.billing(user, id, act),
        };
        envelope.event_id = Uuid::from_u128(1_000_000 + index as u128);
        envelope
    }

    fn billing(&self, user: About, id: Uuid, act: Act) -> Envelope {
        let subscription_of = |number: u128| Uuid::from_u128(1000 * (self.tenant + 1) + number);
        let nobody = About { user_id: None, ..user };
        match act {
            Act::Activate { subscription, plan, status } => user.tells(&SubscriptionActivated {
                subscription_id: subscription_of(subscription),
                user_id: Some(id),
                organization_id: None,
                plan_code: plan.into(),
                activated_at: user.at,
                status: status.into(),
            }),
            Act::Renew { subscription, mrr } => nobody.tells(&SubscriptionRenewed {
                subscription_id: subscription_of(subscription),
                user_id: None,
                plan_code: "P".into(),
                current_period_end: user.at,
                mrr_usd: Decimal::new(mrr.into(), 2),
            }),
            Act::Cancel { subscription } => nobody.tells(&SubscriptionCanceled {
                subscription_id: subscription_of(subscription),
                user_id: None,
                plan_code: "P".into(),
                canceled_at: user.at,
                mrr_usd: Decimal::ONE,
            }),
            Act::Price { plan, price, days } => nobody.tells(&PlanChanged {
                plan_code: plan.into(),
                price_usd: Decimal::new(price.into(), 2),
                billing_interval: if plan == "Y" { "YEAR" } else { "MONTH" }.into(),
                effective_at: user.at + TimeDelta::days(days),
            }),
            other => unreachable!("{other:?} is not of billing"),
        }
    }
}

/// What an event's envelope says of it.
#[derive(Clone, Copy)]
struct About {
    tenant_id: Uuid,
    user_id: Option<Uuid>,
    at: DateTime<Utc>,
}

impl About {
    fn tells<E: Event>(self, event: &E) -> Envelope {
        testing::envelope(self.tenant_id, self.user_id, self.at, event)
    }
}

fn active(user: About, id: Uuid, kind: usize) -> Envelope {
    match kind % ACTIVE {
        0 => user.tells(&activity(id)),
        1 => user.tells(&UserLoggedIn { user_id: id, email: String::new(), logged_in_at: user.at }),
        2 => user.tells(&ProfileUpdated { user_id: id, updated_fields: vec![], timezone: Some("UTC".into()) }),
        3 => user.tells(&DocumentUploaded {
            user_id: id,
            document_id: id,
            document_type: "CV".into(),
            mime_type: "application/pdf".into(),
            size_bytes: 1,
        }),
        4 => user.tells(&RoadmapUpdated { roadmap_id: id, user_id: id, version: 2, change: "CANVAS".into() }),
        5 => user.tells(&EnrollmentCreated { user_id: id, course_id: id }),
        6 => user.tells(&QuizSubmitted {
            user_id: id,
            course_id: id,
            lesson_id: id,
            quiz_id: id,
            attempt_id: id,
            score: 50.0,
            passed: true,
            items: vec![QuizItem { item_id: "1".into(), skill_key: "rust".into(), correct: true }],
        }),
        _ => user.tells(&MilestoneCompleted { milestone_id: id, roadmap_id: id, completed_at: user.at }),
    }
}

fn uncounted(user: About, id: Uuid, kind: usize) -> Envelope {
    match kind % UNCOUNTED {
        0 => user.tells(&RoleChanged { user_id: id, roles: vec![], changed_by: "operator".into() }),
        1 => user.tells(&SkillGapAnalyzed { execution_id: id, missing_skills: vec![], priority_order: vec![] }),
        2 => user.tells(&RoadmapDraftGenerated { execution_id: id, stages: vec![], timeline_weeks: 4 }),
        3 => user.tells(&ModelCallCompleted {
            execution_id: id,
            attempt: 1,
            model: "m".into(),
            outcome: "OK".into(),
            latency_ms: 1,
            prompt_tokens: 1,
            completion_tokens: 1,
            cost_usd: Decimal::ONE,
        }),
        4 => user.tells(&CourseCompleted { user_id: id, course_id: id, completed_at: user.at }),
        5 => user.tells(&CertificateIssued {
            user_id: id,
            course_id: id,
            certificate_id: id,
            verification_code: "c".into(),
        }),
        6 => {
            let lessons = vec![PublishedLesson { lesson_id: id, skill_keys: vec![] }];
            user.tells(&CoursePublished { course_id: id, version: 1, lessons })
        }
        7 => user.tells(&MasteryScoreUpdated { user_id: id, skill_key: "rust".into(), score: 1.0 }),
        8 => user.tells(&StreakUpdated { user_id: id, streak_days: 1 }),
        9 => user.tells(&ProductivityScoreComputed { user_id: id, productivity_score: 1.0, weekly_minutes: 1 }),
        10 => {
            user.tells(&InvoicePaid { invoice_id: id, subscription_id: id, amount_usd: Decimal::ONE, paid_at: user.at })
        }
        // Of nobody.
        _ => About { user_id: None, ..user }.tells(&MilestoneCompleted {
            milestone_id: id,
            roadmap_id: id,
            completed_at: user.at,
        }),
    }
}
