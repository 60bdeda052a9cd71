//! The event contract as these tests hold the code to it, written out so that a change of the code alone fails.

use careeros_fleet::journey::Traces;
use careeros_shared::{
    Result,
    events::{self, Envelope, Event},
};

/// One row of the contract.
pub(crate) struct Row {
    pub(crate) topic: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) source: &'static str,
    /// Where the envelope holds the record's key, a JSON pointer.
    pub(crate) key: &'static str,
    /// Whose event the journey has to leave there.
    pub(crate) caused: Caused,
    /// Reads the payload as its type.
    pub(crate) read: fn(&Envelope) -> Result<()>,
}

/// What the journey does to a topic.
#[derive(Clone, Copy)]
pub(crate) enum Caused {
    /// Nothing is expected there.
    No,
    /// A record with this key.
    Key(fn(&Traces) -> &str),
    /// A record of this user, whatever its key: the journey does not learn the aggregate's id.
    User(fn(&Traces) -> &str),
}

const LEARNER: Caused = Caused::Key(|traces| &traces.learner.id);
const ROADMAP: Caused = Caused::Key(|traces| &traces.roadmap_id);
const COURSE: Caused = Caused::Key(|traces| &traces.course_id);
const PLAN: Caused = Caused::Key(|_| "PREMIUM");
const LEARNERS: Caused = Caused::User(|traces| &traces.learner.id);

const USER: &str = "/payload/user_id";
/// For payloads that leave the user to the envelope.
const ENVELOPE_USER: &str = "/user_id";
const SUBSCRIPTION: &str = "/payload/subscription_id";

fn read<E: Event>(envelope: &Envelope) -> Result<()> {
    envelope.payload::<E>().map(drop)
}

macro_rules! rows {
    ($($topic:literal $payload:ident $event_type:literal $source:literal $key:expr, $caused:expr;)*) => {
        &[$(Row {
            topic: $topic,
            event_type: $event_type,
            source: $source,
            key: $key,
            caused: $caused,
            read: read::<events::$payload>,
        }),*]
    };
}

/// Every topic.
pub(crate) const ROWS: &[Row] = rows! {
    "careeros.auth.user-registered.v1" UserRegistered "UserRegistered" "auth-service" USER, LEARNER;
    "careeros.auth.user-logged-in.v1" UserLoggedIn "UserLoggedIn" "auth-service" USER, LEARNER;
    "careeros.auth.role-changed.v1" RoleChanged "RoleChanged" "auth-service" USER, Caused::No;
    "careeros.profile.profile-updated.v1" ProfileUpdated "ProfileUpdated" "user-profile-service" USER, LEARNER;
    "careeros.profile.skills-updated.v1" SkillsUpdated "SkillsUpdated" "user-profile-service" USER, LEARNER;
    "careeros.profile.document-uploaded.v1" DocumentUploaded "DocumentUploaded" "user-profile-service" USER, Caused::No;
    "careeros.ai.ai-flow-executed.v1" AiFlowExecuted "AIFlowExecuted" "ai-core-service" ENVELOPE_USER, LEARNER;
    "careeros.ai.skill-gap-analyzed.v1" SkillGapAnalyzed "SkillGapAnalyzed" "ai-core-service" ENVELOPE_USER, LEARNER;
    "careeros.ai.roadmap-draft-generated.v1" RoadmapDraftGenerated "RoadmapDraftGenerated" "ai-core-service"
        ENVELOPE_USER, LEARNER;
    "careeros.ai.model-call-completed.v1" ModelCallCompleted "ModelCallCompleted" "ai-core-service"
        ENVELOPE_USER, Caused::No;
    "careeros.roadmap.roadmap-created.v1" RoadmapCreated "RoadmapCreated" "roadmap-service"
        "/payload/roadmap_id", ROADMAP;
    "careeros.roadmap.roadmap-updated.v1" RoadmapUpdated "RoadmapUpdated" "roadmap-service"
        "/payload/roadmap_id", ROADMAP;
    "careeros.roadmap.milestone-completed.v1" MilestoneCompleted "MilestoneCompleted" "roadmap-service"
        "/payload/roadmap_id", ROADMAP;
    "careeros.lms.enrollment-created.v1" EnrollmentCreated "EnrollmentCreated" "lms-service" USER, LEARNER;
    "careeros.lms.lesson-completed.v1" LessonCompleted "LessonCompleted" "lms-service" USER, LEARNER;
    "careeros.lms.quiz-submitted.v1" QuizSubmitted "QuizSubmitted" "lms-service" USER, Caused::No;
    "careeros.lms.course-completed.v1" CourseCompleted "CourseCompleted" "lms-service" USER, LEARNER;
    "careeros.lms.certificate-issued.v1" CertificateIssued "CertificateIssued" "lms-service" USER, LEARNER;
    "careeros.lms.course-published.v1" CoursePublished "CoursePublished" "lms-service" "/payload/course_id", COURSE;
    "careeros.edutracker.mastery-score-updated.v1" MasteryScoreUpdated "MasteryScoreUpdated" "edu-tracker-service"
        USER, LEARNER;
    "careeros.edutracker.streak-updated.v1" StreakUpdated "StreakUpdated" "edu-tracker-service" USER, LEARNER;
    "careeros.edutracker.productivity-score-computed.v1" ProductivityScoreComputed "ProductivityScoreComputed"
        "edu-tracker-service" USER, LEARNER;
    "careeros.billing.subscription-activated.v1" SubscriptionActivated "SubscriptionActivated"
        "subscription-billing-service" SUBSCRIPTION, LEARNERS;
    "careeros.billing.subscription-renewed.v1" SubscriptionRenewed "SubscriptionRenewed"
        "subscription-billing-service" SUBSCRIPTION, Caused::No;
    "careeros.billing.subscription-canceled.v1" SubscriptionCanceled "SubscriptionCanceled"
        "subscription-billing-service" SUBSCRIPTION, Caused::No;
    "careeros.billing.invoice-paid.v1" InvoicePaid "InvoicePaid" "subscription-billing-service"
        SUBSCRIPTION, Caused::No;
    "careeros.billing.plan-changed.v1" PlanChanged "PlanChanged" "subscription-billing-service"
        "/payload/plan_code", PLAN;
};

/// The consumer groups with what each reads.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    (
        "edutracker-lms-progress-v1",
        &[
            "careeros.lms.course-published.v1",
            "careeros.lms.lesson-completed.v1",
            "careeros.lms.quiz-submitted.v1",
            "careeros.lms.course-completed.v1",
            "careeros.roadmap.milestone-completed.v1",
            "careeros.profile.profile-updated.v1",
        ],
    ),
    ("analytics-global-v1", &events::TOPICS),
    ("roadmap-ai-updates-v1", &["careeros.ai.roadmap-draft-generated.v1", "careeros.ai.skill-gap-analyzed.v1"]),
    ("billing-usage-v1", &["careeros.ai.ai-flow-executed.v1"]),
];
