//! The clock that services are given. Domain functions get a time passed in; only the edges ask here.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// The system's clock, or one that a test sets.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    manual: Option<Arc<Mutex<DateTime<Utc>>>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `start` until it is moved; clones move together.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self { manual: Some(Arc::new(Mutex::new(start))) }
    }

    /// The time in UTC, in microseconds: what PostgreSQL can store, so that a value read back equals the one written.
    pub fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
        let now =
            self.manual.as_ref().map_or_else(Utc::now, |manual| *manual.lock().unwrap_or_else(PoisonError::into_inner));
        now.trunc_subsecs(6)
    }

    /// Moves a manual clock forward (or, with a negative `by`, back); the system's clock stays.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(manual) = &self.manual {
            let mut now = manual.lock().unwrap_or_else(PoisonError::into_inner);
            *now += by;
        }
    }
}
