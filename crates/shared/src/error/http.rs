//! Errors as RFC 9457 problem details.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Error, FieldError, NOT_ENTITLED};
use crate::correlation;

/// The body of every error answer, `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A URI reference that identifies the problem's type by its code.
    #[schema(format = "uri-reference")]
    pub r#type: String,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened and what to do about it.
    pub detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// The stable machine-readable code.
    pub code: String,
    /// The id that the logs know the request by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub correlation_id: Option<String>,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 20)]
    pub errors: Vec<FieldError>,
    /// Present and true where the caller's plan does not include what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub blocked: Option<bool>,
    /// Why it is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// What the request log needs to know of an error; the log line is written once, at the edge.
#[derive(Debug, Clone)]
struct Logged {
    code: String,
    chain: Option<String>,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.kind().http_status();
        let blocked = self.code() == NOT_ENTITLED;
        let (correlation_id, instance) = correlation::current().unzip();
        let problem = Problem {
            r#type: format!("urn:careeros:problem:{}", self.code()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.message().to_owned(),
            instance,
            code: self.code().to_owned(),
            correlation_id,
            errors: self.fields().to_vec(),
            blocked: blocked.then_some(true),
            reason: blocked.then(|| self.message().to_owned()),
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after() {
            // Retry-After is whole seconds; rounded up, so that nobody comes back too early.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.extensions_mut().insert(Logged { code: self.code().to_owned(), chain: self.chain() });
        response
    }
}

/// The code and private cause of the error that `response` was made from.
pub(crate) fn logged(response: &Response) -> Option<(&str, Option<&str>)> {
    response.extensions().get::<Logged>().map(|l| (l.code.as_str(), l.chain.as_deref()))
}
