//! The main figures of all paths side by side.

use std::fmt::Write as _;

use super::path::Path;
use crate::{
    fleet::{BROKER, POSTGRESQL, Service},
    report::Report,
};

/// Services that have no part in a path.
pub(super) const OTHERS: &str = "other services";

/// A line for each path that the report has.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!(
        "  {:<43}processor time of, µs/request\n  \
         {:<10}{:>11}{:>9}{:>9}{:>11}{:>9}{:>9}{:>11}{:>8}{:>8}{:>8}\n",
        "",
        "path",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "% of most",
        "gateway",
        "service",
        "postgresql",
        "broker",
        "others",
        "wrk",
    );
    line("bare axum", &[], report, &mut text);
    for path in Path::ALL {
        let services: Vec<_> = path.services().iter().map(|service| service.name()).collect();
        line(path.name(), &services, report, &mut text);
    }
    text
}

fn line(name: &str, services: &[&str], report: &Report, text: &mut String) {
    let value = |what: &str| report.value(&format!("{name}: {what}"));
    let Some(rate) = value("answers") else { return };
    let time = |which: &str| cell(value(&format!("time to an answer, {which}")), 2);
    let most = ["bare axum: answers", "pgbench --select-only", &format!("{name}: PostgreSQL alone")];
    let share = most.iter().find_map(|most| value(&format!("share of {most}")));
    let spent = |who: &str| value(&format!("processor time of {who}"));
    let gateway = spent(Service::Gateway.name()).or_else(|| spent("the server"));
    let service = services.iter().filter_map(|service| spent(service)).reduce(|one, other| one + other);
    let [postgres, broker, others, wrk] = [POSTGRESQL, BROKER, OTHERS, "wrk"].map(|who| cell(spent(who), 0));
    let (share, gateway, service) = (cell(share, 0), cell(gateway, 0), cell(service, 0));
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        text,
        "  {name:<10}{rate:>11.0}{:>9}{:>9}{share:>11}{gateway:>9}{service:>9}{postgres:>11}{broker:>8}{others:>8}{wrk:>8}",
        time("p50"),
        time("p99"),
    );
}

/// A figure with so many decimals, or that there is none.
fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Setting;

    #[test]
    fn a_path_stands_in_one_line_with_its_share_of_the_most() {
        let mut report = Report::new(Setting::own());
        report.figure("profile: answers", 4000.0, "requests/s");
        report.figure("profile: time to an answer, p99", 12.5, "ms");
        report.figure("profile: processor time of profile", 125.4, "µs/request");
        report.figure("profile: share of pgbench --select-only", 40.0, "%");
        let table = table(&report);
        let line: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
        let expected = ["profile", "4000", "–", "12.50", "40", "–", "125", "–", "–", "–", "–"];
        assert_eq!(line, expected);
    }
}
