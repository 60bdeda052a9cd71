//! How often a model is asked, and how long the waits between the calls are.

use std::time::Duration;

use serde::Deserialize;

/// How often and how patiently a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Calls per model, from 1.
    pub attempts: u32,
    /// The first wait lasts up to this.
    pub base_ms: u64,
    /// No wait lasts longer, unless the server asks for it.
    pub cap_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, base_ms: 200, cap_ms: 2_000 }
    }
}

impl RetryPolicy {
    /// Full jitter: `unit` (0–1) of an exponentially growing span
    /// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>); at least what the server asked for.
    /// `failed` counts from 1.
    pub(super) fn wait(&self, failed: u32, unit: f64, asked: Option<Duration>) -> Duration {
        let doubled = self.base_ms.saturating_mul(1_u64 << failed.saturating_sub(1).min(16));
        let span = Duration::from_millis(doubled.min(self.cap_ms));
        span.mul_f64(unit.clamp(0.0, 1.0)).max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_span_and_respect_the_server() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, 1.0, None), Duration::from_millis(200));
        assert_eq!(policy.wait(2, 0.5, None), Duration::from_millis(200));
        assert_eq!(policy.wait(30, 1.0, None), Duration::from_secs(2));
        assert_eq!(policy.wait(1, 0.0, None), Duration::ZERO);
        assert_eq!(policy.wait(1, 0.0, Some(Duration::from_secs(3))), Duration::from_secs(3));
    }
}
