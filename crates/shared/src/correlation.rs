//! Correlation ids and W3C trace context: taken from a request or made, carried by the task, sent on with every call and
//! event.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};

use crate::trace::Span;

/// The header and gRPC metadata key of the correlation id.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// The header of the W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: (String, String);
}

/// Which request caused what is being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// The `x-correlation-id`.
    pub id: String,
    /// The W3C `traceparent`, version 00.
    pub traceparent: String,
}

impl Correlation {
    /// Takes both from `headers`; makes what is missing or malformed.
    pub fn from_headers(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let id = text(&CORRELATION_ID).filter(|id| is_correlation_id(id)).map_or_else(|| new_id(now), str::to_owned);
        let traceparent = sent(headers).map_or_else(|| new_traceparent(now), str::to_owned);
        Self { id, traceparent }
    }

    /// One for work that no request caused.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { id: new_id(now), traceparent: new_traceparent(now) }
    }

    /// Makes `span` what the next hop continues, where spans are made.
    pub(crate) fn continue_as(&mut self, span: &Span) {
        if let Some(traceparent) = span.traceparent() {
            self.traceparent = traceparent;
        }
    }

    /// The id of the trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// Writes both into `headers`.
    pub fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in [(CORRELATION_ID, &self.id), (TRACEPARENT, &self.traceparent)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// The `traceparent` in `headers`, if there is a valid one.
pub(crate) fn sent(headers: &HeaderMap) -> Option<&str> {
    headers.get(&TRACEPARENT)?.to_str().ok().filter(|traceparent| is_traceparent(traceparent))
}

/// Runs `work` as part of the request with this correlation id and path, for the error bodies made within.
pub(crate) async fn scope<F: Future>(id: String, path: String, work: F) -> F::Output {
    CURRENT.scope((id, path), work).await
}

/// The correlation id and path of the request that this task serves.
pub(crate) fn current() -> Option<(String, String)> {
    CURRENT.try_with(Clone::clone).ok()
}

fn new_id(now: DateTime<Utc>) -> String {
    crate::id::new(now).to_string()
}

/// <https://www.w3.org/TR/trace-context/#traceparent-header>; a random UUID is 16 bytes of trace id.
fn new_traceparent(now: DateTime<Utc>) -> String {
    let trace = crate::id::new(now).as_u128();
    let (_, span) = crate::id::new(now).as_u64_pair();
    format!("00-{trace:032x}-{span:016x}-01")
}

/// 1 to 128 visible ASCII characters; anything else could break a log line or a header.
fn is_correlation_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

fn is_traceparent(value: &str) -> bool {
    let mut parts = value.split('-');
    let mut hex = |length: usize| {
        parts
            .next()
            .filter(|p| p.len() == length && p.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    };
    let (version, trace, span, flags) = (hex(2), hex(32), hex(16), hex(2));
    version == Some("00")
        && trace.is_some_and(|t| t.bytes().any(|b| b != b'0'))
        && span.is_some_and(|s| s.bytes().any(|b| b != b'0'))
        && flags.is_some()
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(id: &'static str, traceparent: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CORRELATION_ID, HeaderValue::from_static(id));
        headers.insert(TRACEPARENT, HeaderValue::from_static(traceparent));
        headers
    }

    #[test]
    fn what_the_caller_sent_is_kept() {
        let sent = headers("order-7", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let taken = Correlation::from_headers(&sent, DateTime::UNIX_EPOCH);
        assert_eq!(taken.id, "order-7");
        let mut back = HeaderMap::new();
        taken.write(&mut back);
        assert_eq!(back, sent);
    }

    #[test]
    fn what_is_malformed_is_made_anew() {
        let taken = Correlation::from_headers(&headers("two words", "00-zz-1-01"), DateTime::UNIX_EPOCH);
        assert!(uuid::Uuid::parse_str(&taken.id).is_ok());
        assert!(is_traceparent(&taken.traceparent));
    }
}
