//! The people and things of the examples. They are the same in all operations, so that the examples tell one story in
//! which an id that one answer makes is the one that a later request names.

use serde_json::{Value, json};

/// The correlation id of the examples.
pub const CORRELATION: &str = "01a20729-9c84-7401-a353-43639e5eb58c";
/// Ada, who learns and teaches.
pub const USER: &str = "01a20729-9b26-7292-b4b0-43a72862c8dc";
/// Ada's tenant.
pub const TENANT: &str = "01a20729-9b26-7292-b4b0-43a64abeb487";
/// The session that Ada logged in with.
pub const SESSION: &str = "01a20729-9b26-7292-b4b0-43a8bed3b722";
/// Ada's roadmap.
pub const ROADMAP: &str = "01a20729-a186-70cd-a797-4ea2d71fc968";
/// The first milestone of it.
pub const MILESTONE: &str = "01a20729-a186-70cd-a797-4ea4862319af";
/// Ada's draft of a roadmap.
pub const DRAFT: &str = "01a20729-a418-72e8-ab7f-ae815680b660";
/// Ada's course.
pub const COURSE: &str = "01a20729-a50f-7248-a6b4-349eda0ecd51";
/// Its module.
pub const MODULE: &str = "01a20729-a5b4-769e-bed2-78a2a7967e7a";
/// The module's lesson.
pub const LESSON: &str = "01a20729-a609-712f-b420-297a00ac32ff";
/// The code of the certificate.
pub const VERIFICATION_CODE: &str = "L8UoVrsjtvJ7tJ7w9ifoLw";
/// Ada's subscription.
pub const SUBSCRIPTION: &str = "01a2072a-3b21-7227-ae83-ca5fb0d226fa";
/// An access token, cut.
pub const ACCESS_TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMWEyMDcyOSJ9.c2lnbmF0dXJl";
/// A refresh token.
pub const REFRESH_TOKEN: &str = "vNZknrx-FZ0rlJl1wm1Ggm8nM-p4XnYyMbm8ez2S5PQ";

/// The Parameter Object of a path's parameter.
pub(super) fn path_parameter(name: &str) -> Value {
    let (description, example) = match name {
        "userId" => ("The user; the token's own, or for an ADMIN one of the tenant.", USER),
        "tenantId" => ("The token's tenant.", TENANT),
        "sessionId" => ("One of the caller's sessions.", SESSION),
        "roadmapId" => ("The roadmap.", ROADMAP),
        "draftId" => ("The draft.", DRAFT),
        "courseId" => ("The course.", COURSE),
        "moduleId" => ("The module.", MODULE),
        "verificationCode" => ("The code on the certificate.", VERIFICATION_CODE),
        _ => ("", ""),
    };
    let schema = if name.ends_with("Id") {
        json!({"type": "string", "format": "uuid"})
    } else {
        json!({"type": "string", "minLength": 1})
    };
    json!({
        "name": name, "in": "path", "required": true, "description": description, "schema": schema, "example": example
    })
}
