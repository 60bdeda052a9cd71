//! A circuit breaker: a model that keeps failing is left alone for a while, then tried by one call at a time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open the circuit.
const THRESHOLD: u32 = 5;
/// How long an open circuit lets nothing through.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// Remembers how calls to one model went.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// No call before this, where the circuit is open.
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made. Where the circuit was open long enough, this one is the trial and the next has to
    /// wait for as long again.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match state.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = Some(now + OPEN_FOR);
                true
            }
            None => true,
        }
    }

    /// The model has answered.
    pub(super) fn succeeded(&self) {
        *self.lock() = State::default();
    }

    /// The model has not answered.
    pub(super) fn failed(&self, now: Instant) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= THRESHOLD {
            state.open_until = Some(now + OPEN_FOR);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_trial_through() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..THRESHOLD {
            breaker.failed(start);
            assert!(breaker.allows(start));
        }
        breaker.failed(start);
        assert!(!breaker.allows(start));
        let later = start + OPEN_FOR;
        assert!(breaker.allows(later), "the trial");
        assert!(!breaker.allows(later), "one trial at a time");
        breaker.succeeded();
        assert!(breaker.allows(later));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..20 {
            breaker.failed(start);
            breaker.succeeded();
        }
        assert!(breaker.allows(start));
    }
}
