//! The problems that the API reference knows, and what every answer has in common.

use careeros_shared::error::{Kind, Problem};
use serde_json::{Map, Value, json};

use super::{describe::reference, samples};

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A way in which an operation can fail.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(super) kind: Kind,
    pub(super) code: &'static str,
    pub(super) detail: &'static str,
}

/// Those that an operation has by what it is. The first of each kind is its default.
const COMMON: [Failure; 14] = [
    common(Kind::Invalid, "invalid_request", "limit: must be from 1 to 100"),
    common(Kind::Unauthenticated, "unauthenticated", "this needs an access token"),
    common(Kind::Unauthenticated, "token_expired", "the access token has expired; refresh it or log in again"),
    common(Kind::Forbidden, "forbidden", "the access token is for another user"),
    common(Kind::NotFound, "not_found", "there is no such path"),
    common(Kind::Conflict, "idempotency_key_in_use", IN_USE),
    common(Kind::TooLarge, "body_too_large", "the body has more than 1048576 bytes"),
    common(Kind::UnsupportedMediaType, "unsupported_media_type", "the body must be sent as application/json"),
    common(
        Kind::Unprocessable,
        "idempotency_key_reused",
        "this Idempotency-Key was used with another body; use a new key for a new request",
    ),
    common(Kind::TooManyRequests, "too_many_requests", "more than 120 requests in 60 s"),
    common(Kind::HeadersTooLarge, "headers_too_large", "the headers have 20000 bytes; at most 16384 are read"),
    common(Kind::Internal, "internal", "something went wrong on our side; quote the correlation id when you report it"),
    common(Kind::Unavailable, "unavailable", "a service this needs is not reachable; try again shortly"),
    common(Kind::Timeout, "timeout", "a service this needs did not answer in time; try again"),
];

const IN_USE: &str = "the first request with this Idempotency-Key is still running; try again shortly";

const fn common(kind: Kind, code: &'static str, detail: &'static str) -> Failure {
    Failure { kind, code, detail }
}

/// The common failures of `kind`.
pub(super) fn common_of(kind: Kind) -> impl Iterator<Item = Failure> {
    COMMON.into_iter().filter(move |failure| failure.kind == kind)
}

impl Failure {
    /// An example of the answer.
    pub(super) fn example(&self, path: &str) -> Value {
        let status = self.kind.http_status();
        let mut problem = json!({
            "type": format!("urn:careeros:problem:{}", self.code),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail,
            "instance": path,
            "code": self.code,
            "correlation_id": samples::CORRELATION,
        });
        if self.kind == Kind::Invalid {
            let (field, message) = self.detail.split_once(": ").unwrap_or(("body", self.detail));
            problem["errors"] = json!([{"field": field, "message": message}]);
        }
        if self.code == careeros_shared::error::NOT_ENTITLED {
            problem["blocked"] = true.into();
            problem["reason"] = self.detail.into();
        }
        problem
    }
}

/// The response with these failures, which are all of one status.
pub(super) fn response(failures: &[Failure], path: &str) -> Value {
    let codes: Vec<_> = failures.iter().map(|each| each.code).collect();
    let is_common = codes.iter().all(|code| COMMON.iter().any(|each| each.code == *code));
    let Some(first) = failures.first() else { return Value::Null };
    if is_common {
        return json!({"$ref": format!("#/components/responses/{}", name(first.kind))});
    }
    let lines: Vec<_> = failures.iter().map(|each| format!("- `{}`: {}", each.code, each.detail)).collect();
    let examples: Map<_, _> = failures
        .iter()
        .map(|each| {
            let is_common = COMMON.iter().any(|common| common.code == each.code && common.detail == each.detail);
            let example = if is_common {
                json!({"$ref": format!("#/components/examples/{}", each.code)})
            } else {
                json!({"summary": each.code, "value": each.example(path)})
            };
            (each.code.to_owned(), example)
        })
        .collect();
    body(first.kind, &lines.join("\n"), &examples)
}

fn body(kind: Kind, description: &str, examples: &Map<String, Value>) -> Value {
    json!({
        "description": description,
        "headers": headers(kind),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    })
}

fn headers(kind: Kind) -> Value {
    let mut headers = answer_headers(true);
    if matches!(kind, Kind::TooManyRequests | Kind::Unavailable | Kind::Timeout) {
        headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
    if kind == Kind::Unauthenticated {
        headers["WWW-Authenticate"] = json!({"$ref": "#/components/headers/WwwAuthenticate"});
    }
    headers
}

/// The headers of every answer, and those of the rate limit where the operation counts for it.
pub(super) fn answer_headers(is_limited: bool) -> Value {
    let mut headers = json!({"X-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}});
    if is_limited {
        headers["RateLimit-Policy"] = json!({"$ref": "#/components/headers/RateLimitPolicy"});
        headers["RateLimit"] = json!({"$ref": "#/components/headers/RateLimit"});
    }
    headers
}

/// A response's name: its status in words, together.
fn name(kind: Kind) -> String {
    let words = kind.http_status().canonical_reason().unwrap_or("Error");
    words.split(|c: char| !c.is_ascii_alphanumeric()).collect()
}

/// What the operations refer to, beside the schemas of their own.
pub fn components() -> Value {
    let mut schemas = std::collections::BTreeMap::new();
    reference::<Problem>(&mut schemas);
    let path = format!("/v1/lms/enrollments/{}", samples::USER);
    let examples: Map<_, _> = COMMON
        .iter()
        .map(|each| (each.code.to_owned(), json!({"summary": each.code, "value": each.example(&path)})))
        .collect();
    let mut responses = Map::new();
    for failure in &COMMON {
        responses.entry(name(failure.kind)).or_insert_with(|| {
            let of = common_of(failure.kind)
                .map(|each| (each.code.to_owned(), json!({"$ref": format!("#/components/examples/{}", each.code)})));
            body(failure.kind, meaning(failure.kind), &of.collect())
        });
    }
    json!({
        "schemas": schemas,
        "responses": responses,
        "parameters": parameters(),
        "headers": header_objects(),
        "examples": examples,
        "securitySchemes": {
            "bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "The access token of `POST /v1/auth/register`, `login` or `refresh`; 15 minutes.",
            },
            "webhookSignature": {
                "type": "apiKey", "in": "header", "name": "CareerOS-Signature",
                "description": "`t=<unix seconds>,v1=<hex HMAC-SHA256 of \"<t>.<raw body>\" with the webhook secret>`",
            },
        },
    })
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid => "Malformed JSON, or an unknown, missing, mistyped or wrong field; `errors` names it.",
        Kind::Unauthenticated => "No access token, one that is not valid, or one that has expired.",
        Kind::Forbidden => "Another user's or tenant's data, or a missing role.",
        Kind::NotFound => "There is no such object, or none that the caller may know of.",
        Kind::Conflict => "The first request with this `Idempotency-Key` still runs.",
        Kind::TooLarge => "The body has more than 1 MiB.",
        Kind::UnsupportedMediaType => "The body's `content-type` is not JSON.",
        Kind::Unprocessable => "The `Idempotency-Key` was used with another body.",
        Kind::TooManyRequests => "More requests than the client's limit; try again after `Retry-After` seconds.",
        Kind::HeadersTooLarge => "The headers have more than 16 KiB together.",
        Kind::Internal => "A fault of ours.",
        Kind::Unavailable => "Something needed is away; try again after `Retry-After` seconds.",
        Kind::Timeout => "Something needed took too long.",
        Kind::MethodNotAllowed => "The path has other methods.",
    }
}

/// Optional headers. They have no examples, which a page where requests are tried out would send along.
fn parameters() -> Value {
    json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A key of the client's own, best a random UUID: a retry of the same request with the same key gets \
                            the first answer instead of a second effect; kept for 24 hours, per user and route.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        },
        "CorrelationId": {
            "name": "X-Correlation-Id", "in": "header", "required": false,
            "description": "Names the request in logs, events and error bodies; made where it is not sent.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
        },
        "TenantId": {
            "name": "X-Tenant-Id", "in": "header", "required": false,
            "description": "Has to be the access token's tenant where it is sent.",
            "schema": {"type": "string", "format": "uuid"},
        },
    })
}

fn header_objects() -> Value {
    json!({
        "CorrelationId": {
            "description": "The request's id, the one that was sent or a new one.",
            "schema": {"type": "string"}, "example": samples::CORRELATION,
        },
        "RateLimitPolicy": {
            "description": "The limit: `q` requests in `w` seconds.",
            "schema": {"type": "string"}, "example": "\"default\";q=120;w=60",
        },
        "RateLimit": {
            "description": "`r` requests are left for `t` seconds.",
            "schema": {"type": "string"}, "example": "\"default\";r=97;t=59",
        },
        "RetryAfter": {
            "description": "Seconds to wait before another try.",
            "schema": {"type": "integer", "minimum": 1}, "example": 7,
        },
        "WwwAuthenticate": {
            "description": "How to authenticate.", "schema": {"type": "string"}, "example": "Bearer",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_what_the_service_would_send() {
        let failure = Failure { kind: Kind::Forbidden, code: "not_entitled", detail: "the quota is spent" };
        let example = failure.example("/v1/ai/chat");
        assert_eq!((&example["status"], &example["blocked"]), (&json!(403), &json!(true)));
        assert_eq!(example["title"], "Forbidden");
        let invalid = COMMON[0].example("/");
        assert_eq!(invalid["errors"][0]["field"], "limit");
    }

    #[test]
    fn a_status_with_a_code_of_its_own_keeps_the_common_ones() {
        let mut failures: Vec<_> = common_of(Kind::Conflict).collect();
        failures.push(Failure { kind: Kind::Conflict, code: "email_taken", detail: "log in instead" });
        let response = response(&failures, "/v1/auth/register");
        let examples = &response["content"][MEDIA_TYPE]["examples"];
        assert_eq!(examples["idempotency_key_in_use"]["$ref"], "#/components/examples/idempotency_key_in_use");
        assert_eq!(examples["email_taken"]["value"]["instance"], "/v1/auth/register");
        let common: Vec<_> = common_of(Kind::Conflict).collect();
        assert_eq!(super::response(&common, "/")["$ref"], "#/components/responses/Conflict");
    }
}
