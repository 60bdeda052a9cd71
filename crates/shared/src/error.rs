//! The one error type of CareerOS.
//!
//! A closed set of kinds, a stable machine-readable code, a message that is safe to show, optional field errors, and a
//! private source that is logged and never sent. [`kind`] is the only place that maps kinds to HTTP and gRPC codes;
//! [`http`] and [`grpc`] turn errors into answers and back.

use std::{borrow::Cow, fmt, time::Duration};

mod grpc;
mod http;
mod kind;

pub use http::Problem;
pub(crate) use http::logged as http_logged;
pub use kind::Kind;

/// The result of everything in CareerOS that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure with what the caller may know of it and, kept apart, what only the log may.
///
/// The parts live behind one pointer, so that a `Result` on the happy path stays small.
pub struct Error(Box<Parts>);

struct Parts {
    kind: Kind,
    code: Cow<'static, str>,
    message: String,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    source: Option<anyhow::Error>,
}

/// One thing wrong with one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's path as REST spells it (`messages[0].role`); proto3's JSON names are the same.
    pub field: String,
    /// What the field expects.
    pub message: String,
}

/// The most field errors that one answer lists.
const FIELDS_MAX: usize = 20;
/// The most characters of a field's name or message in an answer.
const TEXT_MAX: usize = 200;

/// The code of an answer that a plan does not include; REST adds `blocked` and `reason` to it.
pub const NOT_ENTITLED: &str = "not_entitled";

impl Error {
    /// An error of `kind` with its default code.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            code: Cow::Borrowed(kind.code()),
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// 400: one field is wrong. For several at once see [`crate::validate::Checks`].
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// 400: these fields are wrong. Only the first [`FIELDS_MAX`] are kept, each cut to [`TEXT_MAX`] characters: names and
    /// messages may quote the input, and gRPC carries them in headers, whose size is limited.
    pub fn invalid_fields(mut fields: Vec<FieldError>) -> Self {
        fields.truncate(FIELDS_MAX);
        for field in &mut fields {
            shorten(&mut field.field);
            shorten(&mut field.message);
        }
        let names: Vec<_> = fields.iter().map(|f| format!("{}: {}", f.field, f.message)).collect();
        let mut error = Self::new(Kind::Invalid, names.join("; "));
        error.0.fields = fields;
        error
    }

    /// 401: who is calling is not known.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthenticated, message)
    }

    /// 403: the caller is known and may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, message)
    }

    /// 403: the caller's plan does not include this; `reason` says what would.
    pub fn not_entitled(reason: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, reason).with_code(NOT_ENTITLED)
    }

    /// 404: there is no such `noun`, or none the caller may know of.
    pub fn not_found(noun: &str) -> Self {
        Self::new(Kind::NotFound, format!("{noun} not found"))
    }

    /// 409: the state of things does not allow it.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message).with_code(code)
    }

    /// 429: try again after `retry_after`.
    pub fn too_many_requests(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = Self::new(Kind::TooManyRequests, message);
        error.0.retry_after = Some(retry_after);
        error
    }

    /// 503: something this needs is away for the moment.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(Kind::Unavailable, message);
        error.0.retry_after = Some(Duration::from_secs(1));
        error
    }

    /// 504: something this needs took too long. Whether it has happened all the same is not known.
    pub fn timeout(message: impl Into<String>) -> Self {
        let mut error = Self::new(Kind::Timeout, message);
        error.0.retry_after = Some(Duration::from_secs(1));
        error
    }

    /// 500: a fault of ours; `source` goes to the log alone.
    pub fn internal(source: impl Into<anyhow::Error>) -> Self {
        Self::new(Kind::Internal, "something went wrong on our side; quote the correlation id when you report it")
            .with_source(source)
    }

    /// The same error with a stable code of its own.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = code.into();
        self
    }

    /// The same error with its private cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same failure for somebody else whom it meets too.
    #[must_use]
    pub fn copy(&self) -> Self {
        let parts = &*self.0;
        Self(Box::new(Parts {
            kind: parts.kind,
            code: parts.code.clone(),
            message: parts.message.clone(),
            fields: parts.fields.clone(),
            retry_after: parts.retry_after,
            source: self.chain().map(anyhow::Error::msg),
        }))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable machine-readable code, e.g. `email_taken`.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The public message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What is wrong with which field.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// How long to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call may succeed later without a change by the caller.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, Kind::Unavailable | Kind::Timeout | Kind::TooManyRequests)
    }

    /// The private cause with its chain, for the log.
    pub fn chain(&self) -> Option<String> {
        self.0.source.as_ref().map(|source| format!("{source:#}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, " ({source:#})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("fields", &self.0.fields)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {}

impl From<anyhow::Error> for Error {
    fn from(source: anyhow::Error) -> Self {
        Self::internal(source)
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        match &source {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
                Self::unavailable("the database is not reachable; try again shortly").with_source(source)
            }
            sqlx::Error::Database(database) => match database.code().as_deref().unwrap_or_default() {
                // Class 08 connection exception, 53 insufficient resources, 57P0x shutdown, 40 rollback (serialization
                // failure, deadlock), 55P03 lock timeout: https://www.postgresql.org/docs/17/errcodes-appendix.html
                code if code.starts_with("08")
                    || code.starts_with("53")
                    || code.starts_with("57P")
                    || code.starts_with("40")
                    || code == "55P03" =>
                {
                    Self::unavailable("the database is busy or restarting; try again shortly").with_source(source)
                }
                "57014" => Self::timeout("the database took too long").with_source(source),
                // Class 22 is data that PostgreSQL cannot hold, e.g. U+0000 in text or a number out of range.
                code if code.starts_with("22") => {
                    Self::new(Kind::Invalid, "a value cannot be stored: check for NUL characters and number ranges")
                        .with_source(source)
                }
                _ => Self::internal(source),
            },
            _ => Self::internal(source),
        }
    }
}

/// Cuts `text` to [`TEXT_MAX`] characters.
fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(end);
        text.push('…');
    }
}

/// Reads better than `ok_or_else(…)` where a missing row is a 404.
pub trait OrNotFound<T> {
    /// The value, or 404 naming `noun`.
    fn or_not_found(self, noun: &str) -> Result<T>;
}

impl<T> OrNotFound<T> for Option<T> {
    fn or_not_found(self, noun: &str) -> Result<T> {
        self.ok_or_else(|| Error::not_found(noun))
    }
}

/// Turns a violated constraint into the error that it stands for.
pub trait OnConstraint<T> {
    /// Replaces a violation of the constraint `name` by what `error` makes.
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|source| match &source {
            sqlx::Error::Database(database) if database.constraint() == Some(name) => error().with_source(source),
            _ => source.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_source_stays_out_of_the_public_message() {
        let error = Error::internal(anyhow::anyhow!("password=hunter2"));
        assert!(!error.message().contains("hunter2"));
        assert_eq!(error.chain().as_deref(), Some("password=hunter2"));
    }

    #[test]
    fn a_thousand_long_field_errors_still_fit_into_an_answer() {
        let error = |at| FieldError { field: format!("nodes[{at}]"), message: "ä".repeat(5000) };
        let error = Error::invalid_fields((0..1000).map(error).collect());
        assert_eq!(error.fields().len(), FIELDS_MAX);
        assert_eq!(error.fields()[0].message.chars().count(), TEXT_MAX + 1);
        assert!(error.message().len() < 10_000, "gRPC's headers hold 16 KiB");
    }

    #[test]
    fn invalid_fields_are_all_named_in_the_message() {
        let error = Error::invalid_fields(vec![
            FieldError { field: "email".into(), message: "must be an e-mail address".into() },
            FieldError { field: "password".into(), message: "must have 8 characters or more".into() },
        ]);
        assert_eq!(error.message(), "email: must be an e-mail address; password: must have 8 characters or more");
    }
}
