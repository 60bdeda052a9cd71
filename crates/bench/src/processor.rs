//! Processor time by process.

use std::time::Duration;

use crate::{process, report::float};

/// The names of processes and the processor time of each.
pub(crate) type Spent = Vec<(&'static str, Duration)>;

/// What each of `processes` and its children have spent so far; those of which the system says nothing are left out.
pub(crate) fn now(processes: &[(&'static str, u32)]) -> Spent {
    processes.iter().filter_map(|(name, pid)| Some((*name, process::cpu(*pid)?))).collect()
}

/// What each has spent from `before` to `after`; a process that was not there before has spent nothing by then.
pub(crate) fn between(before: &[(&'static str, Duration)], after: Spent) -> Spent {
    let known = |name| before.iter().find(|(found, _)| *found == name).map_or(Duration::ZERO, |(_, time)| *time);
    after.into_iter().map(|(name, time)| (name, time.saturating_sub(known(name)))).collect()
}

/// In microseconds for each of `count` things.
pub(crate) fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / float(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_has_spent_nothing_before() {
        let time = Duration::from_secs;
        let spent = between(&[("broker", time(2))], vec![("auth", time(1)), ("broker", time(5))]);
        assert_eq!(spent, [("auth", time(1)), ("broker", time(3))]);
        assert!((each(time(3), 1000) - 3000.0).abs() < 1e-9);
    }
}
