//! The kinds of failure and the only mapping of them to HTTP and gRPC codes.

use axum::http::StatusCode;
use tonic::Code;

/// What kind of failure it is, for whoever has to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is malformed or a field is wrong.
    Invalid,
    /// Nobody knows who is calling.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// There is no such thing, or none the caller may know of.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// The state of things does not allow it.
    Conflict,
    /// The body is larger than allowed.
    TooLarge,
    /// The body is not of a type that is understood.
    UnsupportedMediaType,
    /// The request contradicts an earlier one with the same idempotency key.
    Unprocessable,
    /// Too many requests, or a quota is spent.
    TooManyRequests,
    /// The headers are larger than allowed.
    HeadersTooLarge,
    /// A fault of ours.
    Internal,
    /// Something needed is away for the moment.
    Unavailable,
    /// Something needed did not answer in time.
    Timeout,
}

use Kind::{
    Conflict, Forbidden, HeadersTooLarge, Internal, Invalid, MethodNotAllowed, NotFound, Timeout, TooLarge,
    TooManyRequests, Unauthenticated, Unavailable, Unprocessable, UnsupportedMediaType,
};

/// Kind, default code, HTTP status, gRPC code. The first row with a gRPC code is what that code means from a peer that
/// sent no details.
const TABLE: [(Kind, &str, StatusCode, Code); 14] = [
    (Invalid, "invalid_request", StatusCode::BAD_REQUEST, Code::InvalidArgument),
    (Unauthenticated, "unauthenticated", StatusCode::UNAUTHORIZED, Code::Unauthenticated),
    (Forbidden, "forbidden", StatusCode::FORBIDDEN, Code::PermissionDenied),
    (NotFound, "not_found", StatusCode::NOT_FOUND, Code::NotFound),
    (MethodNotAllowed, "method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
    (Conflict, "conflict", StatusCode::CONFLICT, Code::FailedPrecondition),
    (TooLarge, "body_too_large", StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange),
    (UnsupportedMediaType, "unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
    (Unprocessable, "unprocessable", StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument),
    (TooManyRequests, "too_many_requests", StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
    (HeadersTooLarge, "headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Code::InvalidArgument),
    (Internal, "internal", StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
    (Unavailable, "unavailable", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
    (Timeout, "timeout", StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
];

impl Kind {
    fn row(self) -> &'static (Kind, &'static str, StatusCode, Code) {
        // The table lists the variants in their order; a test below holds it to that.
        &TABLE[self as usize]
    }

    /// The code of an error of this kind that has none of its own.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    pub fn http_status(self) -> StatusCode {
        self.row().2
    }

    /// The gRPC code.
    pub fn grpc_code(self) -> Code {
        self.row().3
    }

    /// The kind whose default code is `code`.
    pub fn from_code(code: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// What a gRPC code means from a peer that sent no details.
    pub fn from_grpc(code: Code) -> Self {
        match code {
            Code::AlreadyExists | Code::Aborted => Conflict,
            // What tonic's client says when its own deadline ends a call.
            Code::Cancelled => Timeout,
            Code::Unimplemented => Internal,
            _ => TABLE.iter().find(|row| row.3 == code).map_or(Internal, |row| row.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for (position, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, position, "{:?}", row.0);
            assert_eq!(Kind::from_code(row.1), Some(row.0));
        }
    }

    #[test]
    fn grpc_codes_map_to_http_as_the_contract_says() {
        for (code, status) in [
            (Code::InvalidArgument, 400),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::NotFound, 404),
            (Code::AlreadyExists, 409),
            (Code::FailedPrecondition, 409),
            (Code::ResourceExhausted, 429),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 504),
            (Code::Unknown, 500),
        ] {
            assert_eq!(Kind::from_grpc(code).http_status().as_u16(), status, "{code:?}");
        }
    }
}
