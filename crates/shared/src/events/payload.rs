//! The payloads of the event contract, one struct an event. Closed ones take no other fields.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Event;

/// Ties a payload to its type, topic, source and, where it is not the envelope's user, the field that is its key.
macro_rules! event {
    ($payload:ident, $type:literal, $topic:literal, $source:literal $(, $key:ident)?) => {
        impl Event for $payload {
            const TYPE: &'static str = $type;
            const TOPIC: &'static str = concat!("careeros.", $topic, ".v1");
            const SOURCE: &'static str = $source;

            $(fn key(&self) -> Option<String> {
                Some(self.$key.to_string())
            })?
        }
    };
}

/// A user has an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct UserRegistered {
    pub user_id: Uuid,
    pub email: String,
    pub registered_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role: Option<String>,
}
event!(UserRegistered, "UserRegistered", "auth.user-registered", "auth-service");

/// A user has logged in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct UserLoggedIn {
    pub user_id: Uuid,
    pub email: String,
    pub logged_in_at: DateTime<Utc>,
}
event!(UserLoggedIn, "UserLoggedIn", "auth.user-logged-in", "auth-service");

/// A user's roles are now these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct RoleChanged {
    pub user_id: Uuid,
    pub roles: Vec<String>,
    pub changed_by: String,
}
event!(RoleChanged, "RoleChanged", "auth.role-changed", "auth-service");

/// These fields of a profile have changed; a changed time zone comes along.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct ProfileUpdated {
    pub user_id: Uuid,
    pub updated_fields: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}
event!(ProfileUpdated, "ProfileUpdated", "profile.profile-updated", "user-profile-service");

/// A user's proficiency in a skill is now this, 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct SkillsUpdated {
    pub user_id: Uuid,
    pub skill_key: String,
    pub proficiency: f64,
}
event!(SkillsUpdated, "SkillsUpdated", "profile.skills-updated", "user-profile-service");

/// A user has uploaded a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct DocumentUploaded {
    pub user_id: Uuid,
    pub document_id: Uuid,
    pub document_type: String,
    pub mime_type: String,
    pub size_bytes: i64,
}
event!(DocumentUploaded, "DocumentUploaded", "profile.document-uploaded", "user-profile-service");

/// An AI flow has run; the event carries the user in its envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct AiFlowExecuted {
    pub execution_id: Uuid,
    pub flow_name: String,
    pub flow_version: String,
    pub status: String,
    pub latency_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    #[serde(with = "rust_decimal::serde::float")]
    pub total_cost_usd: Decimal,
}
event!(AiFlowExecuted, "AIFlowExecuted", "ai.ai-flow-executed", "ai-core-service");

/// What a user lacks for a role, in the order to learn it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct SkillGapAnalyzed {
    pub execution_id: Uuid,
    pub missing_skills: Vec<String>,
    pub priority_order: Vec<String>,
}
event!(SkillGapAnalyzed, "SkillGapAnalyzed", "ai.skill-gap-analyzed", "ai-core-service");

/// A roadmap has been proposed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct RoadmapDraftGenerated {
    pub execution_id: Uuid,
    pub stages: Vec<String>,
    pub timeline_weeks: i32,
}
event!(RoadmapDraftGenerated, "RoadmapDraftGenerated", "ai.roadmap-draft-generated", "ai-core-service");

/// One attempt at a model provider has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct ModelCallCompleted {
    pub execution_id: Uuid,
    pub attempt: u32,
    pub model: String,
    pub outcome: String,
    pub latency_ms: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    #[serde(with = "rust_decimal::serde::str")]
    pub cost_usd: Decimal,
}
event!(ModelCallCompleted, "ModelCallCompleted", "ai.model-call-completed", "ai-core-service");

/// A roadmap exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct RoadmapCreated {
    pub roadmap_id: Uuid,
    pub user_id: Uuid,
    pub goal_key: String,
    pub version: u32,
}
event!(RoadmapCreated, "RoadmapCreated", "roadmap.roadmap-created", "roadmap-service", roadmap_id);

/// A roadmap has changed in the way that `change` names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct RoadmapUpdated {
    pub roadmap_id: Uuid,
    pub user_id: Uuid,
    pub version: u32,
    pub change: String,
}
event!(RoadmapUpdated, "RoadmapUpdated", "roadmap.roadmap-updated", "roadmap-service", roadmap_id);

/// A milestone is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct MilestoneCompleted {
    pub milestone_id: Uuid,
    pub roadmap_id: Uuid,
    pub completed_at: DateTime<Utc>,
}
event!(MilestoneCompleted, "MilestoneCompleted", "roadmap.milestone-completed", "roadmap-service", roadmap_id);

/// A user takes a course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct EnrollmentCreated {
    pub user_id: Uuid,
    pub course_id: Uuid,
}
event!(EnrollmentCreated, "EnrollmentCreated", "lms.enrollment-created", "lms-service");

/// A user has completed a lesson.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct LessonCompleted {
    pub lesson_id: Uuid,
    pub course_id: Uuid,
    pub user_id: Uuid,
    pub completed_at: DateTime<Utc>,
    pub time_spent_minutes: u32,
}
event!(LessonCompleted, "LessonCompleted", "lms.lesson-completed", "lms-service");

/// A user has answered a quiz.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct QuizSubmitted {
    pub user_id: Uuid,
    pub course_id: Uuid,
    pub lesson_id: Uuid,
    pub quiz_id: Uuid,
    pub attempt_id: Uuid,
    pub score: f64,
    pub passed: bool,
    pub items: Vec<QuizItem>,
}
event!(QuizSubmitted, "QuizSubmitted", "lms.quiz-submitted", "lms-service");

/// A user has completed every lesson of a course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct CourseCompleted {
    pub user_id: Uuid,
    pub course_id: Uuid,
    pub completed_at: DateTime<Utc>,
}
event!(CourseCompleted, "CourseCompleted", "lms.course-completed", "lms-service");

/// A user has a certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct CertificateIssued {
    pub user_id: Uuid,
    pub course_id: Uuid,
    pub certificate_id: Uuid,
    pub verification_code: String,
}
event!(CertificateIssued, "CertificateIssued", "lms.certificate-issued", "lms-service");

/// A course is in the catalogue, with the skills that its lessons teach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct CoursePublished {
    pub course_id: Uuid,
    pub version: u32,
    pub lessons: Vec<PublishedLesson>,
}
event!(CoursePublished, "CoursePublished", "lms.course-published", "lms-service", course_id);

/// A user's mastery of a skill is now this, 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct MasteryScoreUpdated {
    pub user_id: Uuid,
    pub skill_key: String,
    pub score: f64,
}
event!(MasteryScoreUpdated, "MasteryScoreUpdated", "edutracker.mastery-score-updated", "edu-tracker-service");

/// A user's streak is now this long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct StreakUpdated {
    pub user_id: Uuid,
    pub streak_days: u32,
}
event!(StreakUpdated, "StreakUpdated", "edutracker.streak-updated", "edu-tracker-service");

/// A user's productivity is now this, 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct ProductivityScoreComputed {
    pub user_id: Uuid,
    pub productivity_score: f64,
    pub weekly_minutes: u32,
}
event!(
    ProductivityScoreComputed,
    "ProductivityScoreComputed",
    "edutracker.productivity-score-computed",
    "edu-tracker-service"
);

/// A subscription is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct SubscriptionActivated {
    pub subscription_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<Uuid>,
    pub plan_code: String,
    pub activated_at: DateTime<Utc>,
    pub status: String,
}
event!(
    SubscriptionActivated,
    "SubscriptionActivated",
    "billing.subscription-activated",
    "subscription-billing-service",
    subscription_id
);

/// A subscription's period has been extended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct SubscriptionRenewed {
    pub subscription_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    pub plan_code: String,
    pub current_period_end: DateTime<Utc>,
    #[serde(with = "rust_decimal::serde::str")]
    pub mrr_usd: Decimal,
}
event!(
    SubscriptionRenewed,
    "SubscriptionRenewed",
    "billing.subscription-renewed",
    "subscription-billing-service",
    subscription_id
);

/// A subscription has ended; `mrr_usd` is what it brought a month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct SubscriptionCanceled {
    pub subscription_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    pub plan_code: String,
    pub canceled_at: DateTime<Utc>,
    #[serde(with = "rust_decimal::serde::str")]
    pub mrr_usd: Decimal,
}
event!(
    SubscriptionCanceled,
    "SubscriptionCanceled",
    "billing.subscription-canceled",
    "subscription-billing-service",
    subscription_id
);

/// An invoice is paid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct InvoicePaid {
    pub invoice_id: Uuid,
    pub subscription_id: Uuid,
    #[serde(with = "rust_decimal::serde::str")]
    pub amount_usd: Decimal,
    pub paid_at: DateTime<Utc>,
}
event!(InvoicePaid, "InvoicePaid", "billing.invoice-paid", "subscription-billing-service", subscription_id);

/// A plan's price is this from `effective_at` on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct PlanChanged {
    pub plan_code: String,
    #[serde(with = "rust_decimal::serde::str")]
    pub price_usd: Decimal,
    pub billing_interval: String,
    pub effective_at: DateTime<Utc>,
}
event!(PlanChanged, "PlanChanged", "billing.plan-changed", "subscription-billing-service", plan_code);

/// One question of a submitted quiz.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct QuizItem {
    pub item_id: String,
    pub skill_key: String,
    pub correct: bool,
}

/// One lesson of a published course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the event contract documents the fields")]
pub struct PublishedLesson {
    pub lesson_id: Uuid,
    pub skill_keys: Vec<String>,
}
