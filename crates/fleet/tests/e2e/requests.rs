//! Every route of the gateway with a request that is well formed, for tests to spoil.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

/// A route with a body that has every field.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// With the names of its ids in braces, below `/v1`.
    pub(crate) path: &'static str,
    pub(crate) needs_token: bool,
    pub(crate) body: Option<Value>,
    /// The fields of the body that cannot be left out.
    pub(crate) required: &'static [&'static str],
    /// The fields that are only compared with what is known, so that no text in them is malformed.
    pub(crate) opaque: &'static [&'static str],
    /// The names of its query parameters.
    pub(crate) query: &'static [&'static str],
}

impl Route {
    fn new(method: Method, path: &'static str) -> Self {
        Self { method, path, needs_token: true, body: None, required: &[], opaque: &[], query: &[] }
    }

    fn public(mut self) -> Self {
        self.needs_token = false;
        self
    }

    fn body(mut self, required: &'static [&'static str], body: Value) -> Self {
        (self.required, self.body) = (required, Some(body));
        self
    }

    fn opaque(mut self, fields: &'static [&'static str]) -> Self {
        self.opaque = fields;
        self
    }

    fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    /// The names in the path's braces.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('{').skip(1).filter_map(|part| part.split('}').next())
    }

    /// The path with `ids` in place of their names.
    pub(crate) fn path_of(&self, ids: &Ids) -> String {
        path_of(self.path, ids)
    }
}

/// The whole path of `path` with `ids` in place of the names in its braces.
pub(crate) fn path_of(path: &str, ids: &Ids) -> String {
    ids.iter().fold(format!("/v1{path}"), |path, (name, id)| path.replace(&format!("{{{name}}}"), id))
}

/// Ids of things that exist, by the names that paths and bodies have for them.
pub(crate) type Ids = BTreeMap<&'static str, String>;

/// All routes.
pub(crate) fn all(ids: &Ids) -> Vec<Route> {
    let areas =
        [accounts(ids), profiles(), assistant(ids), roadmaps(ids), courses(ids), enrollments(ids), measures(ids)];
    areas.into_iter().flatten().collect()
}

fn get(path: &'static str) -> Route {
    Route::new(Method::GET, path)
}

fn post(path: &'static str) -> Route {
    Route::new(Method::POST, path)
}

fn patch(path: &'static str) -> Route {
    Route::new(Method::PATCH, path)
}

fn accounts(ids: &Ids) -> Vec<Route> {
    let (email, password) = ("malformed@example.com", "correct horse battery");
    vec![
        post("/auth/register").public().body(
            &["email", "password"],
            json!({"email": email, "password": password, "tenantId": ids["tenantId"], "invitationToken": "t"}),
        ),
        post("/auth/login").public().body(&["email", "password"], json!({"email": email, "password": password})),
        post("/auth/refresh").public().body(&["refreshToken"], json!({"refreshToken": "t"})),
        post("/auth/validate-token")
            .public()
            .body(&["accessToken"], json!({"accessToken": "t"}))
            .opaque(&["accessToken"]),
        post("/auth/invitations").body(&["email", "roles"], json!({"email": email, "roles": ["STUDENT"]})),
        post("/auth/logout"),
        get("/auth/me"),
        get("/auth/sessions"),
        Route::new(Method::DELETE, "/auth/sessions/{sessionId}"),
    ]
}

fn profiles() -> Vec<Route> {
    let profile = json!({"fullName": "A", "title": "B", "location": "C", "bio": "D", "timezone": "Europe/London"});
    vec![
        get("/profiles/{userId}"),
        Route::new(Method::PUT, "/profiles/{userId}").body(&[], profile),
        get("/profiles/{userId}/skills"),
        post("/profiles/{userId}/skills").body(
            &["skillKey", "skillName", "proficiency"],
            json!({"skillKey": "rust", "skillName": "Rust", "proficiency": 50}),
        ),
    ]
}

fn assistant(ids: &Ids) -> Vec<Route> {
    let flow = json!({
        "userId": ids["userId"], "tenantId": ids["tenantId"], "flowName": "productivity_advisor", "flowVersion": "v1",
        "input": {"weeklyMinutes": 90}
    });
    let chat = json!({
        "userId": ids["userId"], "tenantId": ids["tenantId"], "mode": "mentor",
        "messages": [{"role": "user", "content": "What next?"}]
    });
    vec![
        get("/ai/flows"),
        post("/ai/flows/execute").body(&["flowName", "input"], flow),
        post("/ai/chat").body(&["messages"], chat.clone()),
        post("/ai/chat/stream").body(&["messages"], chat),
        get("/ai/usage/{userId}"),
    ]
}

fn roadmaps(ids: &Ids) -> Vec<Route> {
    let (user, tenant) = (&ids["userId"], &ids["tenantId"]);
    let nodes = json!([{"id": "n", "label": "N", "progress": 0, "x": 0, "y": 0}]);
    let viewport = json!({"x": 0, "y": 0, "scale": 1});
    let answers = json!([{"question": "Q", "answer": "A"}]);
    vec![
        post("/roadmaps").body(
            &["goalKey", "targetRole"],
            json!({
                "userId": user, "tenantId": tenant, "goalKey": "g", "targetRole": "r", "timelineWeeks": 4,
                "stageTitles": ["One"]
            }),
        ),
        get("/roadmaps/{roadmapId}"),
        get("/roadmaps/active/{userId}"),
        patch("/roadmaps/{roadmapId}/recalculate"),
        patch("/roadmaps/milestones/complete")
            .body(&["milestoneId"], json!({"milestoneId": ids["roadmapId"], "tenantId": tenant, "userId": user})),
        post("/roadmaps/interview/turn").body(
            &["messages"],
            json!({"userId": user, "tenantId": tenant, "draftId": ids["draftId"], "messages": answers}),
        ),
        post("/roadmaps/drafts").body(
            &[],
            json!({
                "userId": user, "tenantId": tenant, "title": "T", "targetRole": "R", "targetGrade": "G",
                "interviewLog": answers, "roadmapNodes": nodes, "canvasViewport": viewport
            }),
        ),
        get("/roadmaps/drafts/{userId}").query(&["cursor", "limit"]),
        patch("/roadmaps/drafts/{draftId}/canvas")
            .body(&["canvasViewport"], json!({"userId": user, "canvasViewport": viewport, "roadmapNodes": nodes})),
    ]
}

fn courses(ids: &Ids) -> Vec<Route> {
    vec![
        post("/lms/courses").body(
            &["instructorId", "title"],
            json!({
                "instructorId": ids["userId"], "title": "T", "description": "D", "priceUsd": 9.99, "visibility": "PUBLIC"
            }),
        ),
        get("/lms/courses").public().query(&["q", "cursor", "limit"]),
        get("/lms/courses/{courseId}").public(),
        patch("/lms/courses/{courseId}/publish"),
        post("/lms/courses/{courseId}/modules").body(&["title"], json!({"title": "T", "moduleOrder": 7})),
        post("/lms/modules/{moduleId}/lessons").body(
            &["title", "contentType"],
            json!({
                "title": "T", "contentType": "VIDEO", "durationMinutes": 5, "skillKeys": ["rust"], "lessonOrder": 7
            }),
        ),
    ]
}

fn enrollments(ids: &Ids) -> Vec<Route> {
    let (user, tenant, course) = (&ids["userId"], &ids["tenantId"], &ids["courseId"]);
    vec![
        post("/lms/enrollments").body(
            &["courseId"],
            json!({"userId": user, "courseId": course, "tenantId": tenant}),
        ),
        get("/lms/enrollments/{userId}").query(&["cursor", "limit"]),
        post("/lms/lessons/complete").body(
            &["courseId", "lessonId", "timeSpentMinutes"],
            json!({
                "userId": user, "tenantId": tenant, "courseId": course, "lessonId": ids["lessonId"], "timeSpentMinutes": 5
            }),
        ),
        get("/lms/certificates/{verificationCode}").public(),
    ]
}

fn measures(ids: &Ids) -> Vec<Route> {
    vec![
        get("/edu-tracker/progress/{userId}"),
        post("/billing/plans").body(
            &["code", "name", "billingInterval", "priceUsd"],
            json!({
                "code": "MALFORMED", "name": "N", "billingInterval": "MONTH", "priceUsd": 5, "features": ["*"],
                "aiQuotaMonthly": 5
            }),
        ),
        post("/billing/subscriptions/activate").body(
            &["tenantId", "planCode"],
            json!({"userId": ids["userId"], "tenantId": ids["tenantId"], "planCode": "PREMIUM", "status": "ACTIVE"}),
        ),
        get("/billing/subscription/{userId}"),
        get("/billing/subscriptions/{userId}"),
        get("/analytics/kpi/{tenantId}"),
    ]
}
