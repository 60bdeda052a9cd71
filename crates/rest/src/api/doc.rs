//! What a signature cannot say about an operation: what it is for, examples, and the failures that are its own.

use std::collections::BTreeMap;

use careeros_shared::error::{Kind, NOT_ENTITLED};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    describe::{Parts, reference},
    problems::{self, Failure},
};

/// The words and examples of one operation.
#[derive(Debug, Default)]
pub struct Doc {
    summary: &'static str,
    description: String,
    id: Option<&'static str>,
    request: Option<Value>,
    answer: Option<Value>,
    failures: Vec<Failure>,
    is_idempotent: bool,
    is_unlimited: bool,
    security: Option<Value>,
    body: Option<Value>,
    schemas: BTreeMap<String, Value>,
}

impl Doc {
    /// An operation that does what `summary` says in a few words.
    pub fn new(summary: &'static str) -> Self {
        Self { summary, ..Self::default() }
    }

    /// What else there is to know, in Markdown.
    #[must_use]
    pub fn about(self, text: &str) -> Self {
        Self { description: text.to_owned(), ..self }
    }

    /// Another operation id than the handler's name, where that answers at two paths.
    #[must_use]
    pub fn id(self, id: &'static str) -> Self {
        Self { id: Some(id), ..self }
    }

    /// An example of the body.
    #[must_use]
    pub fn request(self, example: Value) -> Self {
        Self { request: Some(example), ..self }
    }

    /// An example of the answer.
    #[must_use]
    pub fn answer(self, example: Value) -> Self {
        Self { answer: Some(example), ..self }
    }

    /// A failure of `kind` with `code`; `detail` is what the answer says of it.
    #[must_use]
    pub fn fails(mut self, kind: Kind, code: &'static str, detail: &'static str) -> Self {
        self.failures.push(Failure { kind, code, detail });
        self
    }

    /// 404 with this detail.
    #[must_use]
    pub fn missing(self, detail: &'static str) -> Self {
        self.fails(Kind::NotFound, Kind::NotFound.code(), detail)
    }

    /// 403 where the caller's plan does not include it.
    #[must_use]
    pub fn needs_entitlement(self) -> Self {
        let detail = "the monthly AI quota of 50 in the plan FREEMIUM is used up; it resets on 2026-12-01";
        self.fails(Kind::Forbidden, NOT_ENTITLED, detail)
    }

    /// A POST that `Idempotency-Key` makes repeatable.
    #[must_use]
    pub fn idempotent(self) -> Self {
        Self { is_idempotent: true, ..self }
    }

    /// Outside of the gateway's rate limit.
    #[must_use]
    pub fn unlimited(self) -> Self {
        Self { is_unlimited: true, ..self }
    }

    /// No token is needed; one that is sent has to be valid.
    #[must_use]
    pub fn token_optional(mut self) -> Self {
        self.failures.extend(problems::common_of(Kind::Unauthenticated));
        Self { security: Some(json!([{}, {"bearer": []}])), ..self }
    }

    /// The body is signed, and is a `T` that the handler reads as bytes.
    #[must_use]
    pub fn signed<T: ToSchema>(mut self) -> Self {
        self.body = Some(reference::<T>(&mut self.schemas));
        Self { security: Some(json!([{"webhookSignature": []}])), ..self }
    }

    pub(super) fn schemas(&self) -> BTreeMap<String, Value> {
        self.schemas.clone()
    }

    /// The Operation Object of the operation at `path` that `parts` describes.
    pub(super) fn operation(&self, tag: &str, id: &str, path: &str, parts: &Parts) -> Value {
        let security = match &self.security {
            Some(security) => security.clone(),
            None if parts.needs_token => json!([{"bearer": []}]),
            None => json!([]),
        };
        let mut operation = json!({
            "tags": [tag],
            "summary": self.summary,
            "description": if self.description.is_empty() { self.summary } else { &self.description },
            "operationId": self.id.unwrap_or(id),
            "parameters": self.parameters(parts),
        });
        if let Some(schema) = self.body.as_ref().or(parts.body.as_ref()) {
            operation["requestBody"] =
                json!({"required": true, "content": {"application/json": {"schema": schema, "example": self.request}}});
        }
        operation["responses"] = self.responses(path, parts);
        operation["security"] = security;
        operation
    }

    fn parameters(&self, parts: &Parts) -> Vec<Value> {
        let mut parameters: Vec<_> =
            parts.parameters.iter().filter(|each| each.get("$ref").is_none()).cloned().collect();
        if self.is_idempotent {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
        parameters.extend(parts.parameters.iter().filter(|each| each.get("$ref").is_some()).cloned());
        parameters.push(json!({"$ref": "#/components/parameters/CorrelationId"}));
        parameters
    }

    fn responses(&self, path: &str, parts: &Parts) -> Value {
        let mut responses = BTreeMap::new();
        if let Some((media, schema)) = &parts.answer {
            for status in &parts.successes {
                let response = json!({
                    "description": if status.as_u16() == 201 { "Created." } else { "Done." },
                    "headers": problems::answer_headers(!self.is_unlimited),
                    "content": {*media: {"schema": schema, "example": self.answer}},
                });
                responses.insert(status.as_u16(), response);
            }
        }
        let mut by_status: BTreeMap<u16, Vec<Failure>> = BTreeMap::new();
        for failure in self.kinds(parts).into_iter().flat_map(problems::common_of).chain(self.failures.iter().cloned())
        {
            let of = by_status.entry(failure.kind.http_status().as_u16()).or_default();
            if !of.iter().any(|each| each.code == failure.code) {
                of.push(failure);
            }
        }
        let path = format!("/v1{path}");
        responses.extend(by_status.into_iter().map(|(status, of)| (status, problems::response(&of, &path))));
        responses.into_iter().map(|(status, response)| (status.to_string(), response)).collect()
    }

    /// The kinds of failure that have nothing to do with what the operation does.
    fn kinds(&self, parts: &Parts) -> Vec<Kind> {
        let mut kinds = parts.problems.clone();
        kinds.extend([Kind::Invalid, Kind::HeadersTooLarge, Kind::Internal, Kind::Unavailable, Kind::Timeout]);
        if !self.is_unlimited {
            kinds.push(Kind::TooManyRequests);
        }
        if self.is_idempotent {
            kinds.extend([Kind::Conflict, Kind::Unprocessable]);
        }
        kinds
    }
}
