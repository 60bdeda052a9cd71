//! Errors as gRPC statuses with the standard error details (`google.rpc.ErrorInfo`, `BadRequest`, `RetryInfo`), and back.

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{Error, FieldError, Kind};

const DOMAIN: &str = "careeros";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error.chain() {
            Some(chain) if error.kind() == Kind::Internal => {
                tracing::error!(error.code = error.code(), error.chain = chain, "a call failed");
            }
            Some(chain) => tracing::debug!(error.code = error.code(), error.chain = chain, "a call was refused"),
            None => {}
        }
        let mut details =
            ErrorDetails::with_error_info(error.code(), DOMAIN, [("kind".to_owned(), error.kind().code().to_owned())]);
        if !error.fields().is_empty() {
            let violations = error.fields().iter().map(|f| FieldViolation::new(&f.field, &f.message));
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        if let Some(after) = error.retry_after() {
            details.set_retry_info(Some(after));
        }
        Self::with_error_details(error.kind().grpc_code(), error.message(), details)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let Some(info) = info else {
            return from_stranger(status);
        };
        let kind = info
            .metadata
            .get("kind")
            .and_then(|kind| Kind::from_code(kind))
            .unwrap_or_else(|| Kind::from_grpc(status.code()));
        let mut error = Self::new(kind, status.message());
        error.0.code = info.reason.clone().into();
        if let Some(bad) = details.bad_request() {
            error.0.fields = bad
                .field_violations
                .iter()
                .map(|v| FieldError { field: v.field.clone(), message: v.description.clone() })
                .collect();
        }
        error.0.retry_after = details.retry_info().and_then(|retry| retry.retry_delay);
        error
    }
}

/// A status that no CareerOS code made: the transport's, a deadline's, another server's. Its text is not ours to show.
fn from_stranger(status: Status) -> Error {
    let error = match Kind::from_grpc(status.code()) {
        Kind::Unavailable => Error::unavailable("a service this needs is not reachable; try again shortly"),
        Kind::Timeout => Error::timeout("a service this needs did not answer in time; try again"),
        // A broken connection ends a call with Unknown and an error source.
        Kind::Internal if std::error::Error::source(&status).is_some() => {
            Error::unavailable("the connection to a service this needs broke; try again shortly")
        }
        Kind::Internal => return Error::internal(status),
        kind => Error::new(kind, status.message()),
    };
    error.with_source(status)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::NOT_ENTITLED;

    #[test]
    fn an_error_survives_the_wire() {
        let sent = Error::invalid("fullName", "must have 255 characters or fewer");
        let received = Error::from(Status::from(sent));
        assert_eq!(received.kind(), Kind::Invalid);
        assert_eq!(received.fields()[0].field, "fullName");

        let received = Error::from(Status::from(Error::not_entitled("the monthly quota is spent")));
        assert_eq!((received.kind(), received.code()), (Kind::Forbidden, NOT_ENTITLED));

        let received = Error::from(Status::from(Error::too_many_requests("slow down", Duration::from_secs(7))));
        assert_eq!(received.retry_after(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn the_source_does_not_cross_the_wire() {
        let status = Status::from(Error::internal(anyhow::anyhow!("select secret from users")));
        assert!(!format!("{status:?}").contains("secret"));
    }

    #[test]
    fn a_strangers_text_is_not_shown() {
        let error = Error::from(Status::unavailable("tcp connect error: 10.0.0.3:6001"));
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(!error.message().contains("10.0.0.3"));
    }
}
