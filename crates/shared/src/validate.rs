//! Checks of input that report everything wrong at once, each with its field.

use crate::error::{Error, FieldError, Result};

/// Collects what is wrong with a request.
///
/// ```
/// # use careeros_shared::validate::Checks;
/// let mut checks = Checks::new();
/// checks.text("title", "", 1, 255);
/// checks.range("priceUsd", -1, 0..=1_000_000);
/// assert_eq!(checks.finish().unwrap_err().fields().len(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Checks {
    fields: Vec<FieldError>,
}

impl Checks {
    /// No checks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `field` is wrong.
    pub fn fail(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.fields.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Notes that `field` is wrong unless `holds`.
    pub fn check(&mut self, field: &str, holds: bool, message: &str) {
        if !holds {
            self.fail(field, message);
        }
    }

    /// `value` has `min` to `max` characters (not bytes) and no NUL, which PostgreSQL cannot store. Where `min` is above
    /// zero, blanks alone do not count.
    pub fn text(&mut self, field: &str, value: &str, min: usize, max: usize) {
        let length = value.chars().count();
        if value.contains('\0') {
            self.fail(field, "must not contain the NUL character");
        } else if length > max {
            self.fail(field, format!("must have {max} characters or fewer"));
        } else if length < min || (min > 0 && value.trim().is_empty()) {
            let message =
                if min <= 1 { "must not be empty".to_owned() } else { format!("must have {min} characters or more") };
            self.fail(field, message);
        }
    }

    /// `value` lies in `range`.
    pub fn range<T: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        field: &str,
        value: T,
        range: std::ops::RangeInclusive<T>,
    ) {
        if !range.contains(&value) {
            self.fail(field, format!("must be from {} to {}", range.start(), range.end()));
        }
    }

    /// Unwraps `result`, or notes the field errors that it carries.
    pub fn ok<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) if error.fields().is_empty() => {
                self.fail("", error.message());
                None
            }
            Err(error) => {
                self.fields.extend_from_slice(error.fields());
                None
            }
        }
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// 400 naming every field noted.
    pub fn finish(self) -> Result<()> {
        if self.fields.is_empty() { Ok(()) } else { Err(Error::invalid_fields(self.fields)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_counts_characters_and_refuses_blanks_and_nul() {
        for (value, ok) in [("ä".repeat(10).as_str(), true), (&"ä".repeat(11), false), ("   ", false), ("a\0b", false)]
        {
            let mut checks = Checks::new();
            checks.text("title", value, 1, 10);
            assert_eq!(checks.finish().is_ok(), ok, "{value:?}");
        }
    }
}
