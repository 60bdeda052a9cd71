//! Periods of time in running text: `Jan 2019 – Mar 2021`, `03/2020 - present`,
//! `2015-2018`. Counts the months they cover together and the holes between them.

use chrono::{Datelike, NaiveDate};

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const UNTIL_NOW: &[&str] = &["present", "now", "current", "currently", "today", "ongoing"];
const TO: &[&str] = &["to", "until", "till", "through"];
/// Somebody's working life does not begin before this year.
const FIRST_YEAR: i32 = 1950;
/// A period given in whole years with the same year twice.
const WITHIN_A_YEAR: i32 = 6;

/// A period in months since year 0; `end` is the first month after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Period {
    pub(super) start: i32,
    pub(super) end: i32,
}

impl Period {
    pub(super) fn months(self) -> i32 {
        self.end - self.start
    }

    /// `2019-03 to 2020-01`, both ends included.
    pub(super) fn describe(self) -> String {
        let month = |months: i32| format!("{:04}-{:02}", months.div_euclid(12), months.rem_euclid(12) + 1);
        format!("{} to {}", month(self.start), month(self.end - 1))
    }
}

/// A month as text names it.
#[derive(Debug, Clone, Copy)]
struct Moment {
    year: i32,
    /// 0–11, where the text names a month.
    month: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Number(i32, usize),
    Word(String),
    Dash,
    Separator,
}

/// The periods that a line names. `today` closes those that last until now;
/// what lies after it or runs backwards is not a period.
pub(super) fn periods(line: &str, today: NaiveDate) -> Vec<Period> {
    let tokens = tokens(line);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match period(&tokens[at..], today) {
            Some((period, length)) => {
                found.push(period);
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

/// The periods without overlaps, in order of time.
pub(super) fn merge(mut periods: Vec<Period>) -> Vec<Period> {
    periods.sort_unstable();
    let mut merged: Vec<Period> = Vec::with_capacity(periods.len());
    for period in periods {
        match merged.last_mut() {
            Some(last) if period.start <= last.end => last.end = last.end.max(period.end),
            _ => merged.push(period),
        }
    }
    merged
}

/// The holes between merged periods that are longer than `months`.
pub(super) fn holes(merged: &[Period], months: i32) -> Vec<Period> {
    merged
        .windows(2)
        .map(|pair| Period { start: pair[0].end, end: pair[1].start })
        .filter(|hole| hole.months() > months)
        .collect()
}

fn period(tokens: &[Token], today: NaiveDate) -> Option<(Period, usize)> {
    let (from, first) = moment(tokens)?;
    let after = first + link(&tokens[first..])?;
    let now = today.year() * 12 + i32::try_from(today.month0()).unwrap_or_default();
    let start = from.year * 12 + from.month.unwrap_or(0);
    let (end, length) = if let Some((to, second)) = moment(&tokens[after..]) {
        let end = match (from.month, to.month) {
            (_, Some(month)) => to.year * 12 + month + 1,
            (None, None) if to.year == from.year => start + WITHIN_A_YEAR,
            // Whole years: from 2018 to 2021 are three of them.
            (None, None) => to.year * 12,
            (Some(_), None) => to.year * 12 + 12,
        };
        (end, after + second)
    } else if matches!(tokens.get(after), Some(Token::Word(word)) if UNTIL_NOW.contains(&word.as_str())) {
        (now + 1, after + 1)
    } else {
        return None;
    };
    let end = end.min(now + 1);
    (start >= FIRST_YEAR * 12 && start < end).then_some((Period { start, end }, length))
}

/// A month and year, or a year, at the beginning of `tokens`; and how many tokens it takes.
fn moment(tokens: &[Token]) -> Option<(Moment, usize)> {
    let year = |token: Option<&Token>| match token {
        Some(Token::Number(year, 4)) if (FIRST_YEAR..=2200).contains(year) => Some(*year),
        _ => None,
    };
    match tokens.first()? {
        Token::Word(word) => {
            let prefix: String = word.chars().take(3).collect();
            let month = MONTHS.iter().position(|name| *name == prefix)?;
            let skipped = usize::from(tokens.get(1) == Some(&Token::Separator));
            let year = year(tokens.get(1 + skipped))?;
            Some((Moment { year, month: i32::try_from(month).ok() }, 2 + skipped))
        }
        Token::Number(month @ 1..=12, 1 | 2) => {
            let separated = tokens.get(1) == Some(&Token::Separator);
            let year = year(tokens.get(2)).filter(|_| separated)?;
            Some((Moment { year, month: Some(month - 1) }, 3))
        }
        first @ Token::Number(_, 4) => {
            let year = year(Some(first))?;
            match (tokens.get(1), tokens.get(2)) {
                (Some(Token::Separator), Some(Token::Number(month @ 1..=12, 2))) => {
                    Some((Moment { year, month: Some(month - 1) }, 3))
                }
                _ => Some((Moment { year, month: None }, 1)),
            }
        }
        _ => None,
    }
}

/// How many tokens join two ends of a period.
fn link(tokens: &[Token]) -> Option<usize> {
    match tokens.first()? {
        Token::Dash => Some(1),
        Token::Word(word) if TO.contains(&word.as_str()) => Some(1),
        _ => None,
    }
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(first) = rest.next() {
        if first.is_whitespace() {
            continue;
        }
        let mut take = |fits: fn(char) -> bool| {
            let mut text = String::from(first);
            while let Some(next) = rest.next_if(|next| fits(*next)) {
                text.push(next);
            }
            text
        };
        tokens.push(if first.is_ascii_digit() {
            let digits = take(|c| c.is_ascii_digit());
            Token::Number(digits.parse().unwrap_or(-1), digits.len())
        } else if first.is_alphabetic() {
            Token::Word(take(char::is_alphabetic).to_lowercase())
        } else if matches!(first, '-' | '–' | '—' | '−') {
            Token::Dash
        } else {
            Token::Separator
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 6, 15).unwrap()
    }

    fn described(line: &str) -> Vec<String> {
        periods(line, today()).into_iter().map(Period::describe).collect()
    }

    #[test]
    fn periods_are_read_in_the_usual_notations() {
        let cases = [
            ("Acme, Jan 2019 – Mar 2021", "2019-01 to 2021-03"),
            ("January, 2019 - March 2021: Engineer", "2019-01 to 2021-03"),
            ("03/2020-05/2022", "2020-03 to 2022-05"),
            ("2018 — 2021 Acme", "2018-01 to 2020-12"),
            ("from 2024 to present", "2024-01 to 2026-06"),
            ("Sept. 2025 - now", "2025-09 to 2026-06"),
            ("2020.03 - 2020.08", "2020-03 to 2020-08"),
        ];
        for (line, expected) in cases {
            assert_eq!(described(line), [expected], "{line}");
        }
    }

    #[test]
    fn other_numbers_are_not_periods() {
        for line in ["+1 555 2019 2020", "2021 - 2018", "grew 2019 by 20 - 30 %", "May the 4th", "3000 - 4000"] {
            assert!(described(line).is_empty(), "{line}: {:?}", described(line));
        }
    }

    #[test]
    fn overlapping_jobs_count_once_and_holes_are_found() {
        let all = ["2015 - 2018", "2017 - 2019", "2021 - 2022"];
        let periods = all.iter().flat_map(|line| periods(line, today())).collect();
        let merged = merge(periods);
        let months: i32 = merged.iter().map(|each| each.months()).sum();
        assert_eq!(months, 5 * 12);
        let holes: Vec<String> = holes(&merged, 6).into_iter().map(Period::describe).collect();
        assert_eq!(holes, ["2019-01 to 2020-12"]);
    }
}
