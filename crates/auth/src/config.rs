//! The settings that this service alone has.

use std::time::Duration;

use careeros_shared::{config::Stores, env::Reader};
use chrono::TimeDelta;

use crate::tokens::Lifetimes;

/// The longest that a token may live: what its expiry is added to must stay a date.
const LONGEST: TimeDelta = TimeDelta::days(3650);

/// The service's settings.
#[derive(Debug)]
pub struct Config {
    /// Database and broker.
    pub stores: Stores,
    /// How long tokens live.
    pub lifetimes: Lifetimes,
}

impl Config {
    /// Reads them.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self { stores: Stores::read(reader), lifetimes: Lifetimes::read(reader) }
    }
}

impl Lifetimes {
    /// Reads `JWT_ACCESS_EXPIRES_IN` and `JWT_REFRESH_EXPIRES_IN`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            access: lifetime(reader, "JWT_ACCESS_EXPIRES_IN", Duration::from_mins(15)),
            refresh: lifetime(reader, "JWT_REFRESH_EXPIRES_IN", Duration::from_hours(30 * 24)),
        }
    }
}

fn lifetime(reader: &mut Reader<'_>, name: &str, default: Duration) -> TimeDelta {
    let span = TimeDelta::from_std(reader.duration(name, default)).unwrap_or(TimeDelta::MAX);
    // Tokens have whole seconds.
    if (TimeDelta::seconds(1)..=LONGEST).contains(&span) {
        return span;
    }
    reader.problem(name, "must be from 1s to 3650d");
    LONGEST
}

#[cfg(test)]
mod tests {
    use careeros_shared::env::Env;

    use super::*;

    #[test]
    fn a_token_has_a_life_of_a_sensible_length() {
        for (value, ok) in
            [("15m", true), ("1s", true), ("0", false), ("10ms", false), ("99999999999d", false), ("x", false)]
        {
            let env: Env = [("JWT_ACCESS_EXPIRES_IN".to_owned(), value.to_owned())].into_iter().collect();
            let mut reader = Reader::new(&env);
            lifetime(&mut reader, "JWT_ACCESS_EXPIRES_IN", Duration::from_mins(15));
            assert_eq!(reader.finish().is_ok(), ok, "{value}");
        }
    }
}
