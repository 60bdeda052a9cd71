//! How long things took: percentiles of many times.

use crate::report::Report;

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Times {
    /// Those of `times` in milliseconds; none where there are no times.
    pub(crate) fn of(times: Vec<f64>) -> Option<Self> {
        let [p50, p99, max] = percentiles(times, [0.5, 0.99, 1.0])?;
        Some(Self { p50, p99, max })
    }

    /// How much each percentile lies above that of `other`.
    pub(crate) fn above(self, other: Self) -> Self {
        Self { p50: self.p50 - other.p50, p99: self.p99 - other.p99, max: self.max - other.max }
    }

    /// A figure of `what` for each.
    pub(crate) fn figures(self, what: &str, report: &mut Report) {
        for (name, value) in [("p50", self.p50), ("p99", self.p99), ("max", self.max)] {
            report.figure(format!("{what}, {name}"), value, "ms");
        }
    }
}

/// The values below which `shares` of `values` lie, each from 0 to 1 (the nearest rank); none where there are no values.
pub(crate) fn percentiles<const N: usize>(mut values: Vec<f64>, shares: [f64; N]) -> Option<[f64; N]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list that fits into memory"
    )]
    let rank = |share: f64| ((share * values.len() as f64).ceil() as usize).saturating_sub(1).min(last);
    Some(shares.map(|share| values[rank(share)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentiles(values, [0.0, 0.5, 0.99, 1.0]), Some([1.0, 100.0, 198.0, 200.0]));
        assert_eq!(percentiles(vec![7.0], [0.5, 0.99]), Some([7.0, 7.0]));
        assert_eq!(Times::of(Vec::new()), None);
    }

    #[test]
    fn what_is_added_is_the_difference_of_the_percentiles() {
        let (one, other) = (Times { p50: 50.5, p99: 51.0, max: 60.0 }, Times { p50: 52.5, p99: 55.0, max: 58.0 });
        assert_eq!(other.above(one), Times { p50: 2.0, p99: 4.0, max: -2.0 });
    }
}
