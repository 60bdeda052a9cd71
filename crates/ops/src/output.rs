//! What an operator sees: results on standard output, as an aligned table or as JSON; progress on standard error.
//!
//! A closed terminal or pipe is no error: writing is best effort.

use std::{
    fmt::{self, Display},
    io::Write as _,
    time::Duration,
};

use serde::Serialize;

/// Characters of a cell that are shown.
const CELL_MAX: usize = 100;

/// Prints a command's result.
///
/// # Errors
/// Where it cannot be written as JSON.
pub fn print<T: Serialize + Display>(result: &T, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(result)? } else { result.to_string() };
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()));
    Ok(())
}

/// Says how work goes on.
pub fn say(line: impl Display) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// Rows under a header, in columns as wide as they need; numbers are aligned right.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows yet.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)).into());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.header.len();
        let cells = |column: usize| self.rows.iter().map(move |row| row[column].as_str());
        let widths: Vec<_> = (0..columns)
            .map(|column| cells(column).chain([self.header[column]]).map(|cell| cell.chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect();
        let right: Vec<_> = (0..columns).map(|column| cells(column).all(is_number)).collect();
        let header: Vec<_> = self.header.iter().map(|name| (*name).to_owned()).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells = row.iter().enumerate().map(|(column, cell)| match (widths[column], right[column]) {
                (width, true) => format!("{cell:>width$}"),
                (width, false) => format!("{cell:<width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    cell == "-" || cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b',')
}

/// One line, not too long, without what could move the terminal's cursor.
fn clean(cell: &str) -> String {
    let line: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(CELL_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// `1 record`, `1,234 records`.
pub fn count(number: usize, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", thousands(number as i128))
}

/// A time span as one reads it: `4 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub fn span(time: Duration) -> String {
    let (minutes, hours) = (time.as_secs() / 60, time.as_secs() / 3600);
    match (time.as_secs(), minutes, hours) {
        (seconds, 0, _) => format!("{seconds} s"),
        (_, minutes, 0) => format!("{minutes} min"),
        (_, minutes, hours) if hours < 24 => format!("{hours} h {} min", minutes % 60),
        (_, _, hours) => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// The text, or a dash.
pub fn or_dash(text: Option<impl Display>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let mut table = Table::new(&["group", "lag"]);
        table.row(["a".to_owned(), "1,234".to_owned()]);
        table.row(["long-name".to_owned(), "7".to_owned()]);
        assert_eq!(table.to_string(), "group        lag\na          1,234\nlong-name      7\n");
    }

    #[test]
    fn a_cell_cannot_break_its_line_or_steer_the_terminal() {
        let mut table = Table::new(&["error"]);
        table.row([format!("a\n\u{1b}[2J{}", "ä".repeat(200))]);
        let text = table.to_string();
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{1b}') && text.contains('…'), "{text}");
    }

    #[test]
    fn numbers_and_spans_as_people_read_them() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (11_100, "3 h 5 min"), (187_200, "2 d 4 h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!((count(1, "record"), count(1000, "record")), ("1 record".to_owned(), "1,000 records".to_owned()));
    }
}
