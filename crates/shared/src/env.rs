//! The environment, read once and checked as a whole: every missing or malformed variable is reported in one message.
//!
//! `envy` stops at the first problem, which is why it is not used here.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use secrecy::SecretString;

/// The variables of a process, or the ones that the local launcher and tests make up.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The process's own. Empty values count as unset, as compose files and shells produce them.
    pub fn from_process() -> Self {
        std::env::vars().collect()
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets `name`, unless it is set.
    pub fn set_default(&mut self, name: &str, value: impl Into<String>) {
        self.0.entry(name.to_owned()).or_insert_with(|| value.into());
    }

    /// Sets `name`.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }
}

impl fmt::Debug for Env {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the environment has {} problem(s):", self.0.len())?;
        for problem in &self.0 {
            writeln!(f, "  - {problem}")?;
        }
        write!(f, "set these variables and start again; .env.example lists them all")
    }
}

impl std::error::Error for Problems {}

/// Reads variables and collects what is wrong with them.
///
/// A wrong variable yields a stand-in value, so that reading goes on; [`Reader::finish`] then fails.
#[derive(Debug)]
pub struct Reader<'a> {
    env: &'a Env,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads from `env`.
    pub fn new(env: &'a Env) -> Self {
        Self { env, problems: Vec::new() }
    }

    /// Whether this is production, which refuses what is convenient in development.
    pub fn is_production(&self) -> bool {
        self.env.get("APP_ENV") == Some("production")
    }

    /// Notes a problem with the variable `name`.
    pub fn problem(&mut self, name: &str, expects: &str) {
        self.problems.push(format!("{name} {expects}"));
    }

    /// The text of `name`, if set.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        self.env.get(name).map(str::to_owned)
    }

    /// The text of `name`, which has to be set; `expects` completes "… is required: ".
    pub fn required(&mut self, name: &str, expects: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problem(name, &format!("is required: {expects}"));
            String::new()
        })
    }

    /// The value of `name`, or `default` where it is unset; `expects` completes "… must be ".
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: T, expects: &str) -> T {
        self.with(name, default, expects, |text| text.parse().ok())
    }

    /// The value that `parse` makes of `name`, or `default` where it is unset.
    pub fn with<T>(&mut self, name: &str, default: T, expects: &str, parse: impl FnOnce(&str) -> Option<T>) -> T {
        match self.env.get(name) {
            None => default,
            Some(text) => parse(text).unwrap_or_else(|| {
                self.problem(name, &format!("must be {expects}"));
                default
            }),
        }
    }

    /// A time span such as `15m`, `30d`, `90s`, `250ms` or bare seconds.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        self.with(name, default, "a time span such as 250ms, 90s, 15m, 12h or 30d", parse_duration)
    }

    /// A secret that is fit for an HTTP header.
    pub fn secret(&mut self, name: &str, expects: &str) -> SecretString {
        self.required(name, expects).into()
    }

    /// A secret that may be missing.
    pub fn optional_secret(&mut self, name: &str) -> Option<SecretString> {
        self.optional(name).map(SecretString::from)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Where anything was wrong, with everything that was.
    pub fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }
}

/// Reads `15m` and its like; `None` where it is not one or overflows.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once_and_values_are_not() {
        let env: Env = [("HTTP_PORT".to_owned(), "hunter2".to_owned())].into_iter().collect();
        let mut reader = Reader::new(&env);
        reader.required("DATABASE_URL", "a postgres:// URL");
        reader.parsed("HTTP_PORT", 8080_u16, "a port from 1 to 65535");
        let text = reader.finish().unwrap_err().to_string();
        assert!(text.contains("DATABASE_URL is required: a postgres:// URL"), "{text}");
        assert!(text.contains("HTTP_PORT must be a port"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!format!("{env:?}").contains("hunter2"));
    }

    #[test]
    fn time_spans() {
        assert_eq!(parse_duration("15m"), Some(Duration::from_mins(15)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("61"), Some(Duration::from_secs(61)));
        assert_eq!(parse_duration("30d"), Some(Duration::from_hours(720)));
        assert_eq!(parse_duration("1 h"), None);
        assert_eq!(parse_duration("m"), None);
    }
}
