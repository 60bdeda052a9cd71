//! The requests: what is sent, by whom, and what is kept of the answer for later ones.

use careeros_fleet::journey::PASSWORD;
use careeros_shared::{clock::Clock, id};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Actor, Asking, Request};

/// Stands for the path that wants a signature.
pub(super) const WEBHOOKS: &str = "/billing/webhooks";
const OK: &[u16] = &[200];
const CREATED: &[u16] = &[201];

/// A path.
pub(super) struct Path {
    pub(super) name: &'static str,
    pub(super) request: fn(&Asking<'_>, &Actor) -> Request,
    pub(super) keep: fn(&mut Actor, &Value),
    pub(super) is_for: fn(&Actor) -> bool,
    /// Who asks where it is not the actor.
    pub(super) by: Option<for<'a> fn(&'a Asking<'_>) -> &'a Actor>,
}

const fn path(name: &'static str, request: fn(&Asking<'_>, &Actor) -> Request) -> Path {
    Path { name, request, keep: |_, _| (), is_for: |_| true, by: None }
}

impl Path {
    const fn keep(self, keep: fn(&mut Actor, &Value)) -> Self {
        Self { keep, ..self }
    }

    const fn only_for(self, is_for: fn(&Actor) -> bool) -> Self {
        Self { is_for, ..self }
    }

    const fn by(self, who: for<'a> fn(&'a Asking<'_>) -> &'a Actor) -> Self {
        Self { by: Some(who), ..self }
    }
}

fn get(path: impl Into<String>) -> Request {
    Request { method: Method::GET, path: path.into(), body: None, expected: OK }
}

fn send(method: Method, path: impl Into<String>, body: Value, expected: &'static [u16]) -> Request {
    Request { method, path: path.into(), body: Some(body), expected }
}

/// Keeps who has logged in.
pub(super) fn logged_in(actor: &mut Actor, answer: &Value) {
    actor.id = text(answer, "/userId");
    actor.tenant_id = text(answer, "/tenantId");
    actor.token = text(answer, "/tokens/accessToken");
    actor.refresh_token = text(answer, "/tokens/refreshToken");
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn fresh() -> String {
    id::new(Clock::system().now()).simple().to_string()
}

/// All of them, in the order of a journey.
pub(super) const PATHS: &[Path] = &[
    path("POST auth/login", |_, actor| {
        send(Method::POST, "/auth/login", json!({"email": actor.email, "password": PASSWORD}), OK)
    })
    .keep(logged_in),
    path("POST auth/register", |_, _| {
        let body = json!({"email": format!("new-{}@example.com", fresh()), "password": PASSWORD});
        send(Method::POST, "/auth/register", body, CREATED)
    }),
    path("POST auth/refresh", |_, actor| {
        send(Method::POST, "/auth/refresh", json!({"refreshToken": actor.refresh_token}), OK)
    })
    .keep(|actor, answer| actor.token = text(answer, "/accessToken")),
    path("GET auth/me", |_, _| get("/auth/me")),
    path("GET auth/sessions", |_, _| get("/auth/sessions")),
    path("GET profiles/{id}", |_, actor| get(format!("/profiles/{}", actor.id))),
    path("PUT profiles/{id}", |_, actor| {
        send(Method::PUT, format!("/profiles/{}", actor.id), json!({"title": "Engineer of platforms"}), OK)
    }),
    path("GET profiles/{id}/skills", |_, actor| get(format!("/profiles/{}/skills", actor.id))),
    path("POST profiles/{id}/skills", |_, actor| {
        let body = json!({"skillKey": "skill-7", "skillName": "Skill-7", "proficiency": 55});
        send(Method::POST, format!("/profiles/{}/skills", actor.id), body, OK)
    }),
    path("POST ai/flows/execute", |_, actor| {
        let body = json!({
            "userId": actor.id, "tenantId": actor.tenant_id, "flowName": "productivity_advisor", "input": {"weeklyMinutes": 90}
        });
        send(Method::POST, "/ai/flows/execute", body, OK)
    }),
    path("GET ai/usage/{id}", |_, actor| get(format!("/ai/usage/{}", actor.id))),
    path("GET ai/usage/{id} of a user with a tenth of all runs", |asking, _| {
        get(format!("/ai/usage/{}", asking.heavy.id))
    })
    .by(|asking| &asking.heavy),
    path("POST roadmaps", |_, actor| {
        let body = json!({
            "userId": actor.id, "tenantId": actor.tenant_id, "goalKey": "platform", "targetRole": "Platform Engineer",
            "timelineWeeks": 24
        });
        send(Method::POST, "/roadmaps", body, CREATED)
    })
    .keep(|actor, answer| actor.roadmap = text(answer, "/roadmap_id")),
    path("GET roadmaps/active/{id}", |_, actor| get(format!("/roadmaps/active/{}", actor.id))),
    path("GET roadmaps/{id}", |_, actor| get(format!("/roadmaps/{}", actor.roadmap)))
        .keep(|actor, answer| actor.milestone = text(answer, "/stages/0/milestones/0/milestone_id")),
    path("PATCH roadmaps/milestones/complete", |_, actor| {
        let body = json!({"milestoneId": actor.milestone, "tenantId": actor.tenant_id, "userId": actor.id});
        send(Method::PATCH, "/roadmaps/milestones/complete", body, OK)
    }),
    path("PATCH roadmaps/{id}/recalculate", |_, actor| Request {
        method: Method::PATCH,
        path: format!("/roadmaps/{}/recalculate", actor.roadmap),
        body: None,
        expected: OK,
    }),
    path("POST roadmaps/drafts", |_, actor| {
        let body = json!({"userId": actor.id, "tenantId": actor.tenant_id, "targetRole": "Platform Engineer"});
        send(Method::POST, "/roadmaps/drafts", body, &[200, 201])
    })
    .keep(|actor, answer| actor.draft = text(answer, "/id")),
    path("GET roadmaps/drafts/{id}", |_, actor| get(format!("/roadmaps/drafts/{}", actor.id))),
    path("PATCH roadmaps/drafts/{id}/canvas", |_, actor| {
        let body = json!({"userId": actor.id, "canvasViewport": {"x": 1, "y": 2, "scale": 1}});
        send(Method::PATCH, format!("/roadmaps/drafts/{}/canvas", actor.draft), body, OK)
    }),
    path("GET lms/courses", |_, _| get("/lms/courses?limit=20"))
        .keep(|actor, answer| actor.cursor = text(answer, "/next_cursor")),
    path("GET lms/courses, a later page", |_, actor| get(format!("/lms/courses?limit=20&cursor={}", actor.cursor)))
        .keep(|actor, answer| actor.cursor = text(answer, "/next_cursor"))
        .only_for(|actor| !actor.cursor.is_empty()),
    path("GET lms/courses?q, one of 24 has it", |_, _| get("/lms/courses?limit=20&q=rust")),
    path("GET lms/courses?q, all have it", |_, _| get("/lms/courses?limit=20&q=practice")),
    path("GET lms/courses?q, one has it", |_, _| get("/lms/courses?limit=20&q=number13x")),
    path("GET lms/courses/{id}", |_, actor| get(format!("/lms/courses/{}", actor.course))),
    path("POST lms/enrollments", |_, actor| {
        let body = json!({"userId": actor.id, "courseId": actor.course, "tenantId": actor.tenant_id});
        send(Method::POST, "/lms/enrollments", body, &[200, 201])
    }),
    path("POST lms/lessons/complete", |_, actor| {
        let body = json!({
            "userId": actor.id, "tenantId": actor.tenant_id, "courseId": actor.course, "lessonId": actor.lesson,
            "timeSpentMinutes": 25
        });
        send(Method::POST, "/lms/lessons/complete", body, OK)
    }),
    path("GET lms/enrollments/{id}", |_, actor| get(format!("/lms/enrollments/{}", actor.id))),
    path("GET lms/certificates/{code}", |_, actor| get(format!("/lms/certificates/{}", actor.verification_code))),
    path("GET edu-tracker/progress/{id}", |_, actor| get(format!("/edu-tracker/progress/{}", actor.id))),
    path("GET billing/subscription/{id}", |_, actor| get(format!("/billing/subscription/{}", actor.id))),
    path("POST billing/webhooks: activated", |_, actor| {
        webhook(
            "subscription.activated",
            &json!({"user_id": actor.id, "tenant_id": actor.tenant_id, "plan_code": "PREMIUM"}),
        )
    }),
    path("POST billing/webhooks: renewed", |_, actor| {
        let end = Clock::system().now() + TimeDelta::days(50);
        webhook("subscription.renewed", &json!({"subscription_id": actor.subscription, "current_period_end": end}))
    }),
    path("POST billing/webhooks: paid", |_, actor| {
        webhook(
            "invoice.paid",
            &json!({"subscription_id": actor.subscription, "amount_usd": 29, "invoice_ref": fresh()}),
        )
    }),
    path("GET analytics/kpi/{id} of a small tenant", |_, actor| get(format!("/analytics/kpi/{}", actor.tenant_id)))
        .only_for(|actor| actor.is_admin),
    path("GET analytics/kpi/{id} of a tenant with a twentieth of all users", |asking, _| {
        get(format!("/analytics/kpi/{}", asking.admin.tenant_id))
    })
    .by(|asking| &asking.admin),
];

fn webhook(event_type: &str, payload: &Value) -> Request {
    let body = json!({"eventType": event_type, "eventId": format!("scale-{}", fresh()), "payload": payload});
    send(Method::POST, WEBHOOKS, body, OK)
}
