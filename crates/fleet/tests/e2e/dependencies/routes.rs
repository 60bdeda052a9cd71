//! What every route of the gateway needs, and a request to it that succeeds each time while all of that is there.

use std::time::Duration;

use careeros_shared::testing;
use reqwest::Method;
use serde_json::{Value, json};

use super::stage::Props;
use crate::processes::{AI_CORE, ANALYTICS, AUTH, BILLING, EDU_TRACKER, LMS, PROFILE, ROADMAP};

/// How long the gateway waits for most calls, and for those that may ask a language model (docs/API.md, Limits).
const USUAL: Duration = Duration::from_secs(5);
const PATIENT: Duration = Duration::from_secs(28);

/// Who sends the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Nobody,
    /// The operator whom everything belongs to.
    Operator,
    /// A session of the operator's that ends by it.
    Leaving,
    /// The payment provider, who signs what it sends.
    Provider,
}

/// Whether an answer needs the services' databases.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    Needed,
    /// What was read is remembered for a while, so either is right.
    Remembered,
}

/// A route with what it needs.
pub(crate) struct Row {
    pub(crate) method: Method,
    /// As in [`crate::requests`].
    pub(crate) path: &'static str,
    pub(crate) caller: Caller,
    /// Without these services it cannot be answered.
    pub(crate) needs: &'static [usize],
    pub(crate) data: Data,
    pub(crate) deadline: Duration,
    pub(crate) body: Option<fn(&Props) -> Value>,
}

impl Row {
    fn new(method: Method, path: &'static str, needs: &'static [usize]) -> Self {
        Self { method, path, caller: Caller::Operator, needs, data: Data::Needed, deadline: USUAL, body: None }
    }

    fn from(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    fn body(self, body: fn(&Props) -> Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn remembered(self) -> Self {
        Self { data: Data::Remembered, ..self }
    }

    fn patient(self) -> Self {
        Self { deadline: PATIENT, ..self }
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn get(path: &'static str, needs: &'static [usize]) -> Row {
    Row::new(Method::GET, path, needs)
}

fn post(path: &'static str, needs: &'static [usize], body: fn(&Props) -> Value) -> Row {
    Row::new(Method::POST, path, needs).body(body)
}

fn patch(path: &'static str, needs: &'static [usize]) -> Row {
    Row::new(Method::PATCH, path, needs)
}

/// A text that nobody has used before.
fn unique() -> String {
    testing::id().simple().to_string()
}

/// All routes.
pub(crate) fn all() -> Vec<Row> {
    [accounts(), people(), roadmaps(), courses(), money()].into_iter().flatten().collect()
}

fn accounts() -> Vec<Row> {
    vec![
        post(
            "/auth/register",
            &[AUTH],
            |_| json!({"email": format!("{}@example.com", unique()), "password": "correct horse battery"}),
        )
        .from(Caller::Nobody),
        post("/auth/login", &[AUTH], |props| json!({"email": props.email, "password": props.password}))
            .from(Caller::Nobody),
        post("/auth/refresh", &[AUTH], |props| json!({"refreshToken": props.refresh_token})).from(Caller::Nobody),
        post("/auth/validate-token", &[AUTH], |props| json!({"accessToken": props.token})).from(Caller::Nobody),
        post(
            "/auth/invitations",
            &[AUTH],
            |_| json!({"email": format!("{}@example.com", unique()), "roles": ["STUDENT"]}),
        ),
        Row::new(Method::POST, "/auth/logout", &[AUTH]).from(Caller::Leaving),
        get("/auth/me", &[AUTH]),
        get("/auth/sessions", &[AUTH]),
        Row::new(Method::DELETE, "/auth/sessions/{sessionId}", &[AUTH]),
    ]
}

fn people() -> Vec<Row> {
    vec![
        get("/profiles/{userId}", &[PROFILE]),
        Row::new(Method::PUT, "/profiles/{userId}", &[PROFILE]).body(|_| json!({"fullName": unique()})),
        get("/profiles/{userId}/skills", &[PROFILE]),
        post(
            "/profiles/{userId}/skills",
            &[PROFILE],
            |_| json!({"skillKey": "rust", "skillName": "Rust", "proficiency": 50}),
        ),
        get("/edu-tracker/progress/{userId}", &[EDU_TRACKER]),
        get("/analytics/kpi/{tenantId}", &[ANALYTICS]),
        get("/ai/flows", &[AI_CORE]).remembered(),
        post(
            "/ai/flows/execute",
            &[AI_CORE, BILLING],
            |_| json!({"flowName": "productivity_advisor", "input": {"minutesThisWeek": 90}}),
        )
        .patient(),
        post("/ai/chat", &[AI_CORE, BILLING], |_| json!({"messages": [{"role": "user", "content": "What next?"}]}))
            .patient(),
        post(
            "/ai/chat/stream",
            &[AI_CORE, BILLING],
            |_| json!({"messages": [{"role": "user", "content": "What next?"}]}),
        )
        .patient(),
        get("/ai/usage/{userId}", &[AI_CORE]),
    ]
}

fn roadmaps() -> Vec<Row> {
    vec![
        post("/roadmaps", &[ROADMAP], |_| json!({"goalKey": unique(), "targetRole": "Engineer", "timelineWeeks": 4})),
        get("/roadmaps/{roadmapId}", &[ROADMAP]),
        get("/roadmaps/active/{userId}", &[ROADMAP]),
        patch("/roadmaps/{roadmapId}/recalculate", &[ROADMAP]),
        patch("/roadmaps/milestones/complete", &[ROADMAP]).body(|props| json!({"milestoneId": props.milestone})),
        post(
            "/roadmaps/interview/turn",
            &[ROADMAP, AI_CORE, BILLING],
            |_| json!({"messages": [{"question": "Which role do you aim for?", "answer": "Backend engineer"}]}),
        )
        .patient(),
        post("/roadmaps/drafts", &[ROADMAP], |_| json!({"title": "Later"})),
        get("/roadmaps/drafts/{userId}", &[ROADMAP]),
        patch("/roadmaps/drafts/{draftId}/canvas", &[ROADMAP])
            .body(|_| json!({"canvasViewport": {"x": 0, "y": 0, "scale": 1}})),
    ]
}

fn courses() -> Vec<Row> {
    vec![
        post("/lms/courses", &[LMS], |props| json!({"instructorId": props.ids["userId"], "title": "Another course"})),
        get("/lms/courses", &[LMS]).from(Caller::Nobody),
        get("/lms/courses/{courseId}", &[LMS]).from(Caller::Nobody),
        patch("/lms/courses/{courseId}/publish", &[LMS]),
        post("/lms/courses/{courseId}/modules", &[LMS], |_| json!({"title": "More"})),
        post("/lms/modules/{moduleId}/lessons", &[LMS], |_| json!({"title": "More", "contentType": "VIDEO"})),
        post("/lms/enrollments", &[LMS], |props| json!({"courseId": props.ids["courseId"]})),
        get("/lms/enrollments/{userId}", &[LMS]),
        post("/lms/lessons/complete", &[LMS], |props| {
            json!({
                "courseId": props.ids["courseId"], "lessonId": props.ids["lessonId"],
                "timeSpentMinutes": super::MINUTES
            })
        }),
        get("/lms/certificates/{verificationCode}", &[LMS]).from(Caller::Nobody),
    ]
}

fn money() -> Vec<Row> {
    vec![
        post(
            "/billing/plans",
            &[BILLING],
            |_| json!({"code": "PLAN_B", "name": "Plan B", "billingInterval": "MONTH", "priceUsd": 5}),
        ),
        post("/billing/subscriptions/activate", &[BILLING], |props| {
            json!({
                "organizationId": testing::id().to_string(), "tenantId": props.ids["tenantId"], "planCode": "PREMIUM"
            })
        }),
        get("/billing/subscription/{userId}", &[BILLING]),
        get("/billing/subscriptions/{userId}", &[BILLING]),
        post("/billing/webhooks", &[BILLING], |props| {
            json!({
                "eventType": "invoice.paid", "eventId": unique(),
                "payload": {"subscription_id": props.subscription, "invoice_ref": unique(), "amount_usd": 5}
            })
        })
        .from(Caller::Provider),
    ]
}
