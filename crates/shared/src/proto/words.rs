//! The closed sets of words that messages and request bodies hold as text. Nothing reads or writes these types: the API
//! reference names the words by them, and the tests that run its examples hold the services to it.

use utoipa::ToSchema;

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident: $($word:ident $text:literal),+;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, ToSchema)]
        #[expect(missing_docs, reason = "each is the word of that name")]
        pub enum $name {
            $(#[schema(rename = $text)] $word),+
        }
    )+};
}

words! {
    /// STUDENT: everybody; INSTRUCTOR: makes courses; ADMIN: of a tenant; OPERATOR: the platform's staff.
    Role: Student "STUDENT", Instructor "INSTRUCTOR", Admin "ADMIN", Operator "OPERATOR";
    /// A role that an ADMIN may give.
    InvitedRole: Student "STUDENT", Instructor "INSTRUCTOR", Admin "ADMIN";
    /// Whether the user may log in.
    UserStatus: Active "ACTIVE", Suspended "SUSPENDED";
    /// SUCCESS: a valid output of the primary model; PARTIAL: of a backup model or of the deterministic engine, and
    /// `warnings` says which; FAILED: nobody gave a valid output, and `output_json` is `{}`.
    FlowStatus: Success "SUCCESS", Partial "PARTIAL", Failed "FAILED";
    /// Who said it; `system` is read as information, not as instructions.
    ChatRole: User "user", Assistant "assistant", System "system";
    /// SUPERSEDED by a newer roadmap to the same goal.
    RoadmapStatus: Active "ACTIVE", Completed "COMPLETED", Superseded "SUPERSEDED";
    /// NOT_FOUND where the user has no active roadmap.
    ActiveRoadmapStatus: Active "ACTIVE", NotFound "NOT_FOUND";
    /// How far a stage is.
    StageStatus: Pending "PENDING", InProgress "IN_PROGRESS", Completed "COMPLETED";
    /// Whether a milestone is reached.
    MilestoneStatus: Pending "PENDING", Completed "COMPLETED";
    /// IN_PROGRESS and COMPLETED are those of an interview.
    DraftStatus: Draft "DRAFT", InProgress "IN_PROGRESS", Completed "COMPLETED";
    /// COMPLETED when the draft has its roadmap.
    InterviewStatus: InProgress "IN_PROGRESS", Completed "COMPLETED";
    /// A new course is a draft.
    CourseStatus: Draft "DRAFT", Published "PUBLISHED";
    /// PUBLIC: for all tenants; TENANT: for the owner's.
    Visibility: Public "PUBLIC", Tenant "TENANT";
    /// What a lesson consists of.
    ContentType: Video "VIDEO", Text "TEXT", Quiz "QUIZ", Assignment "ASSIGNMENT";
    /// COMPLETED with the course's last lesson.
    EnrollmentStatus: Active "ACTIVE", Completed "COMPLETED";
    /// How often a plan is paid.
    BillingInterval: Month "MONTH", Year "YEAR", Monthly "MONTHLY", Yearly "YEARLY";
    /// A live subscription's status.
    SubscriptionStatus: Trial "TRIAL", Active "ACTIVE", PastDue "PAST_DUE";
    /// INACTIVE where there is no live subscription.
    HeldSubscriptionStatus: Trial "TRIAL", Active "ACTIVE", PastDue "PAST_DUE", Inactive "INACTIVE";
}
