//! JSON Schema 2020-12: checks inputs and outputs, and says what is wrong where, without repeating the values, which may
//! be personal.

use std::fmt::Write as _;

use careeros_shared::error::FieldError;
use jsonschema::{
    ValidationError, Validator,
    error::ValidationErrorKind,
    paths::{Location, LocationSegment},
};
use serde_json::Value;

/// How many problems are reported at once.
const MOST: usize = 20;

/// A schema, ready to check with.
#[derive(Debug)]
pub struct Schema {
    /// As published.
    pub document: Value,
    validator: Validator,
}

impl Schema {
    /// Compiles `document`.
    ///
    /// # Errors
    /// Where it is no valid schema.
    pub fn new(document: Value) -> anyhow::Result<Self> {
        let validator = jsonschema::validator_for(&document).map_err(|error| anyhow::anyhow!("{}", error.masked()))?;
        Ok(Self { document, validator })
    }

    /// Whether `value` satisfies the schema.
    pub fn accepts(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// What is wrong with `value`, each with its path below `root` (`input.skills[0].level`).
    pub fn problems(&self, root: &str, value: &Value) -> Vec<FieldError> {
        let errors = self.validator.iter_errors(value).take(MOST);
        errors.map(|error| FieldError { field: path(root, error.instance_path()), message: message(&error) }).collect()
    }
}

fn path(root: &str, location: &Location) -> String {
    let mut path = root.to_owned();
    for segment in location {
        // Writing to a string cannot fail.
        _ = match segment {
            LocationSegment::Property(name) => write!(path, ".{name}"),
            LocationSegment::Index(index) => write!(path, "[{index}]"),
        };
    }
    path
}

fn message(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Pattern { .. } => "does not have the expected form".to_owned(),
        _ => error.masked_with("").to_string().trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_name_the_place_and_not_the_value() {
        let schema = Schema::new(json!({
            "type": "object",
            "properties": {"skills": {"type": "array", "items": {"properties": {"level": {"type": "number"}}}}},
        }))
        .unwrap();
        let problems = schema.problems("input", &json!({"skills": [{}, {"level": "my secret"}]}));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].field, "input.skills[1].level");
        assert_eq!(problems[0].message, "is not of type \"number\"");
    }

    #[test]
    fn a_broken_schema_is_refused() {
        assert!(Schema::new(json!({"type": "nonsense"})).is_err());
    }
}
