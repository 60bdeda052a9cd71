//! The table of all sizes: what each figure is at each, and how much more it is at the largest than at the smallest.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Run, statements::Statement, tables::Table};

/// A statement is shown where a call touches so many times as many pages, and so many more, at the largest size.
const GROWS: (f64, f64) = (2.0, 12.0);
/// Characters of a statement shown.
const WIDTH: usize = 150;

/// All that was found, for people.
pub(super) fn shown(runs: &[Run]) -> String {
    let Some(largest) = runs.last() else { return String::new() };
    let setting = &largest.report.setting;
    let mut text = format!("\n{} build, {} cores\n\n", setting.build, setting.cores);
    text += &figures(runs);
    text += &statements(runs);
    text += &tables(largest);
    for (run, check) in runs.iter().flat_map(|run| run.report.checks.iter().map(move |check| (run, check))) {
        if check.expected != check.found {
            let _infallible = writeln!(
                text,
                "WRONG at {} users: {}: {} instead of {}",
                run.users, check.name, check.found, check.expected
            );
        }
    }
    text
}

/// Each figure as a line.
fn figures(runs: &[Run]) -> String {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for figure in runs.iter().flat_map(|run| &run.report.figures) {
        if !names.contains(&(figure.name.as_str(), figure.unit.as_str())) {
            names.push((figure.name.as_str(), figure.unit.as_str()));
        }
    }
    let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = format!("{:width$}", "users");
    for run in runs {
        let _infallible = write!(text, " {:>12}", run.users);
    }
    text += "     growth\n";
    for (name, unit) in names {
        let value = |run: &Run| run.report.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value);
        let values: Vec<Option<f64>> = runs.iter().map(value).collect();
        let _infallible = write!(text, "{name:width$}");
        for value in &values {
            let shown = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
            let _infallible = write!(text, " {shown:>12}");
        }
        let growth = growth(values.first().copied().flatten(), values.last().copied().flatten());
        let _infallible = writeln!(text, " {growth:>10}  {unit}");
    }
    text
}

fn growth(first: Option<f64>, last: Option<f64>) -> String {
    match (first, last) {
        (Some(first), Some(last)) if first > 0.0 => format!("× {:.2}", last / first),
        _ => "-".to_owned(),
    }
}

/// The statements that touch more pages where more is in the tables, those with the most first.
fn statements(runs: &[Run]) -> String {
    let mut found: BTreeMap<(&str, &str), Vec<Option<&Statement>>> = BTreeMap::new();
    for (place, run) in runs.iter().enumerate() {
        for statement in &run.statements {
            let known = found
                .entry((statement.database.as_str(), statement.query.as_str()))
                .or_insert_with(|| vec![None; runs.len()]);
            known[place] = Some(statement);
        }
    }
    let pages = |statement: Option<&Statement>| statement.map_or(0.0, |statement| statement.pages);
    let ends = |places: &[Option<&Statement>]| (pages(places[0]), pages(places[places.len() - 1]));
    let mut growing: Vec<_> = found
        .iter()
        .filter(|(_, places)| {
            let (first, last) = ends(places);
            places[0].is_some() && last > first * GROWS.0 && last > first + GROWS.1
        })
        .collect();
    growing.sort_by(|(_, a), (_, b)| ends(b).1.total_cmp(&ends(a).1));
    let mut text = format!("\n{} statements, of which {} touch more pages:\n", found.len(), growing.len());
    for ((database, query), places) in growing {
        let cell = |place: Option<&Statement>| {
            place.map_or_else(|| "-".to_owned(), |s| format!("{:.1} pages {:.3} ms", s.pages, s.milliseconds))
        };
        let cells: Vec<_> = places.iter().copied().map(cell).collect();
        let query: String = query.chars().take(WIDTH).collect();
        let _infallible = writeln!(text, "  {database}: {}\n    {query}", cells.join("  →  "));
    }
    text
}

/// The tables of the largest size, with what a row takes.
fn tables(run: &Run) -> String {
    let total: i64 = run.tables.iter().map(|table| table.bytes + table.index_bytes).sum();
    let mut text = format!("\nTables at {} users, {} MB in all:\n", run.users, total / 1_000_000);
    for Table { database, name, rows, bytes, index_bytes } in &run.tables {
        let (each, index_each) = (bytes / rows.max(&1), index_bytes / rows.max(&1));
        let _infallible = writeln!(
            text,
            "  {:40} {rows:>10} rows {:>7} MB {each:>6} bytes a row and {index_each:>4} of indexes",
            format!("{database}.{name}"),
            (bytes + index_bytes) / 1_000_000,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, Setting};

    fn run(users: i64, p50: f64, pages: f64) -> Run {
        let mut report = Report::new(Setting::own());
        report.figure("GET profiles/{id}: p50", p50, "ms");
        let statement = |query: &str, pages| Statement {
            database: "auth".into(),
            query: query.into(),
            calls: 3,
            milliseconds: p50,
            pages,
        };
        let statements = vec![statement("select 1", 3.0), statement("delete from sessions", pages)];
        Run { users, report, statements, tables: Vec::new() }
    }

    #[test]
    fn a_figure_shows_how_much_more_it_is_at_the_largest_size() {
        let text = shown(&[run(100, 0.5, 3.0), run(10_000, 0.6, 3.0), run(1_000_000, 1.25, 3.0)]);
        let line = text.lines().find(|line| line.starts_with("GET profiles")).unwrap();
        assert!(line.contains("0.50") && line.contains("0.60") && line.contains("× 2.50"), "{line}");
    }

    #[test]
    fn a_statement_that_touches_more_pages_is_named_and_one_that_does_not_is_not() {
        let text = shown(&[run(100, 0.5, 3.0), run(1_000_000, 0.5, 20_000.0)]);
        assert!(text.contains("delete from sessions") && !text.contains("select 1"), "{text}");
    }
}
