//! Row and event ids: UUID version 7 (RFC 9562), whose order is the order of their time.

use chrono::{DateTime, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::error::{Error, Result};

/// A new id made at `now`. Ids made in one process in the same millisecond still ascend.
pub fn new(now: DateTime<Utc>) -> Uuid {
    thread_local! {
        static CONTEXT: ContextV7 = const { ContextV7::new() };
    }
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    CONTEXT.with(|context| Uuid::new_v7(Timestamp::from_unix(context, seconds, now.timestamp_subsec_nanos())))
}

/// Reads an id out of the input field `field`.
///
/// # Errors
/// 400 naming the field where it is not a UUID.
pub fn parse(field: &str, value: &str) -> Result<Uuid> {
    Uuid::try_parse(value).map_err(|_| Error::invalid(field, "must be a UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_time_and_ascend() {
        let now = DateTime::from_timestamp_millis(1_767_225_600_123).unwrap();
        let (first, second) = (new(now), new(now));
        assert!(first < second);
        assert_eq!(first.get_version_num(), 7);
        assert_eq!(first.get_timestamp().unwrap().to_unix().0, 1_767_225_600);
    }

    #[test]
    fn a_bad_id_names_its_field() {
        assert_eq!(parse("courseId", "42").unwrap_err().fields()[0].field, "courseId");
    }
}
