//! The report: figures and checks, as a table for people and as JSON for the next run to compare with.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// What a run has found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// How and where it was measured.
    pub(crate) setting: Setting,
    /// What was measured, in the order of the run.
    pub(crate) figures: Vec<Figure>,
    /// Whether the answers were right meanwhile.
    pub(crate) checks: Vec<Check>,
    /// Figures once more, as a table of their own.
    #[serde(skip)]
    notes: Vec<String>,
}

/// How and where a run was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// `release` or `debug`.
    pub(crate) build: String,
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// How much there was of what, and other numbers that figures depend on.
    pub(crate) sizes: BTreeMap<String, u64>,
}

impl Setting {
    /// That of this process, without sizes yet.
    pub(crate) fn own() -> Self {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned();
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        Self { build, cores, sizes: BTreeMap::new() }
    }

    /// Whether figures of both can be compared: what both have is the same.
    fn compares(&self, other: &Self) -> bool {
        let same = |(name, size): (&String, &u64)| other.sizes.get(name).is_none_or(|other| other == size);
        self.build == other.build && self.cores == other.cores && self.sizes.iter().all(same)
    }
}

/// A measured value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What it is of; the same in every run.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: String,
}

/// A value that has to be exactly right.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Check {
    /// What it is of.
    pub(crate) name: String,
    /// What follows from what was put in.
    pub(crate) expected: String,
    /// What came out.
    pub(crate) found: String,
}

impl Report {
    /// Without figures yet.
    pub(crate) fn new(setting: Setting) -> Self {
        Self { setting, figures: Vec::new(), checks: Vec::new(), notes: Vec::new() }
    }

    /// Notes a number that figures depend on.
    pub(crate) fn size(&mut self, name: &str, size: u64) {
        self.setting.sizes.insert(name.to_owned(), size);
    }

    /// The value of a figure that there is.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &str) {
        self.figures.push(Figure { name: name.into(), value, unit: unit.to_owned() });
    }

    /// Adds a check.
    pub(crate) fn check(&mut self, name: impl Into<String>, expected: &dyn Display, found: &dyn Display) {
        let (name, expected, found) = (name.into(), expected.to_string(), found.to_string());
        self.checks.push(Check { name, expected, found });
    }

    /// Adds a table that is shown below the figures.
    pub(crate) fn note(&mut self, table: String) {
        self.notes.push(table);
    }

    /// Whether all checks hold.
    pub(crate) fn is_right(&self) -> bool {
        self.checks.iter().all(Check::holds)
    }

    /// Reads a report that was written before.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report of this program", path.display()))
    }

    /// Writes the report for a later run.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The figures as a table, beside those of `before`; then the checks.
    pub(crate) fn table(&self, before: Option<&Self>) -> String {
        let Setting { build, cores, sizes } = &self.setting;
        let sizes: Vec<_> = sizes.iter().map(|(name, size)| format!(", {name} {size}")).collect();
        let mut text = format!("\n{build} build, {cores} cores{}\n\n", sizes.concat());
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or_default();
        for figure in &self.figures {
            let line = format!("  {:width$}  {:>12} {:<10}", figure.name, shown(figure.value), figure.unit);
            let old = before.and_then(|before| before.figures.iter().find(|old| old.name == figure.name));
            let change =
                old.map(|old| format!("  before {:>12}  {}", shown(old.value), change(old.value, figure.value)));
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "{}", (line + change.as_deref().unwrap_or_default()).trim_end());
        }
        if before.is_some_and(|before| !before.setting.compares(&self.setting)) {
            text += "\n  (the earlier run was of another build, machine or size)\n";
        }
        for note in &self.notes {
            let _infallible = write!(text, "\n{note}");
        }
        let wrong: Vec<_> = self.checks.iter().filter(|check| !check.holds()).collect();
        let _infallible = writeln!(text, "\n{} of {} checks hold", self.checks.len() - wrong.len(), self.checks.len());
        for Check { name, expected, found } in wrong {
            let _infallible = writeln!(text, "  WRONG {name}: {found} instead of {expected}");
        }
        text
    }
}

impl Check {
    fn holds(&self) -> bool {
        self.expected == self.found
    }
}

/// A value in as many digits as it deserves.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn change(before: f64, now: f64) -> String {
    if before.abs() < f64::EPSILON { "new".to_owned() } else { format!("{:+.1} %", (now / before - 1.0) * 100.0) }
}

/// So many a second.
pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    float(count) / time.as_secs_f64()
}

/// A count as a figure takes it.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(value: f64) -> Report {
        let mut report =
            Report::new(Setting { build: "release".into(), cores: 2, sizes: [("events".to_owned(), 10)].into() });
        report.figure("analytics", value, "events/s");
        report
    }

    #[test]
    fn an_earlier_run_stands_beside_this_one() {
        let table = report(1500.0).table(Some(&report(1000.0)));
        let line = table.lines().find(|line| line.contains("analytics")).unwrap();
        assert!(line.contains("1500 events/s") && line.contains("1000") && line.ends_with("+50.0 %"), "{line}");
    }

    #[test]
    fn a_wrong_count_is_told_and_makes_the_run_fail() {
        let mut report = report(1.0);
        report.check("inbox", &10, &10);
        assert!(report.is_right());
        report.check("funnel", &10, &9);
        assert!(!report.is_right());
        let table = report.table(None);
        assert!(table.contains("1 of 2 checks hold") && table.contains("WRONG funnel: 9 instead of 10"), "{table}");
    }

    #[test]
    fn a_written_report_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        report(2.5).write(&path).unwrap();
        let read = Report::read(&path).unwrap();
        assert_eq!((read.figures[0].value, read.setting.cores), (2.5, 2));
        fs::write(&path, "{}").unwrap();
        assert!(Report::read(&path).unwrap_err().to_string().contains("no report"));
    }
}
