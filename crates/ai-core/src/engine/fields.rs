//! Reading a flow's input tolerantly: `targetRole`, `target_role` and
//! `TargetRole` are one name, values one level down in a wrapper such as
//! `profile` or `context` are found, and a number may come as text.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Objects that only group fields; what they hold counts as if it stood outside.
const WRAPPERS: &[&str] = &[
    "profile",
    "user",
    "candidate",
    "context",
    "data",
    "input",
    "payload",
    "params",
    "options",
    "preferences",
    "metrics",
    "stats",
    "progress",
    "week",
    "learning",
];

/// Which parts of an object say what it is called.
const LABELS: &[&str] = &["title", "name", "role", "label", "skill", "key", "text", "value"];

/// The fields of one input object under folded names.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    by_name: HashMap<String, &'a Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(input: &'a Map<String, Value>) -> Self {
        let mut by_name = HashMap::new();
        for (name, value) in input {
            if !value.is_null() {
                by_name.entry(fold(name)).or_insert(value);
            }
        }
        for wrapper in WRAPPERS {
            let Some(Value::Object(inner)) = by_name.get(*wrapper).copied() else {
                continue;
            };
            for (name, value) in inner {
                if !value.is_null() {
                    by_name.entry(fold(name)).or_insert(value);
                }
            }
        }
        Self { by_name }
    }

    /// The first of `names` that is present. Names are given folded: lower case,
    /// without separators.
    pub(super) fn get(&self, names: &[&str]) -> Option<&'a Value> {
        names.iter().find_map(|name| self.by_name.get(*name).copied())
    }

    /// The first of `names` that holds text, trimmed and not empty.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().filter_map(|name| self.by_name.get(*name)).find_map(|value| label(value))
    }

    /// The first of `names` that holds a finite number.
    pub(super) fn number(&self, names: &[&str]) -> Option<f64> {
        names.iter().filter_map(|name| self.by_name.get(*name)).find_map(|value| number(value))
    }

    /// The items of the first of `names` that is a list; a text with commas,
    /// semicolons or lines counts as one.
    pub(super) fn list(&self, names: &[&str]) -> Vec<Item<'a>> {
        self.get(names).map(items).unwrap_or_default()
    }

    /// Every value, for a flow that has to search.
    pub(super) fn values(&self) -> impl Iterator<Item = &'a Value> + '_ {
        self.by_name.values().copied()
    }
}

/// One item of a list: its text, and the value it came from.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) text: String,
    /// The object or number that belongs to the text, where there is one:
    /// the object itself in a list of objects, the value in an object of values.
    pub(super) detail: Option<&'a Value>,
}

/// The text that a value stands for: itself, or its title, name, role…
pub(super) fn label(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Object(fields) => {
            let labelled = LABELS.iter().find_map(|name| {
                let found = fields.iter().find(|(key, _)| fold_matches(key, name));
                found.and_then(|(_, value)| value.as_str())
            });
            labelled.or_else(|| key_label(fields))?.trim().to_owned()
        }
        Value::Array(values) => {
            let parts: Vec<String> = values.iter().filter_map(label).collect();
            parts.join(", ")
        }
        Value::Bool(_) | Value::Null => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A finite number, also one written as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_end_matches('%').trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

/// All the text inside a value, one line per piece.
pub(super) fn flatten(value: &Value) -> String {
    let mut lines = Vec::new();
    collect_lines(value, &mut lines);
    lines.join("\n")
}

fn collect_lines(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::String(text) => lines.push(text.clone()),
        Value::Number(number) => lines.push(number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| collect_lines(value, lines)),
        Value::Object(fields) => {
            for (name, value) in fields {
                // The names of a structured CV are its headings.
                if value.is_array() || value.is_object() {
                    lines.push(format!("{name}:"));
                }
                collect_lines(value, lines);
            }
        }
        Value::Bool(_) | Value::Null => {}
    }
}

fn items(value: &Value) -> Vec<Item<'_>> {
    match value {
        Value::Array(values) => values
            .iter()
            .filter_map(|value| Some(Item { text: label(value)?, detail: value.is_object().then_some(value) }))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !name.trim().is_empty())
            .map(|(name, value)| Item { text: name.clone(), detail: Some(value) })
            .collect(),
        Value::String(text) => text
            .split([',', ';', '\n', '|', '•'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| Item { text: part.to_owned(), detail: None })
            .collect(),
        _ => Vec::new(),
    }
}

fn key_label(fields: &Map<String, Value>) -> Option<&str> {
    const KEYS: &[&str] = &["skillkey", "skillname", "targetrole", "goalkey", "goal", "question"];
    KEYS.iter().find_map(|name| {
        let found = fields.iter().find(|(key, _)| fold_matches(key, name));
        found.and_then(|(_, value)| value.as_str())
    })
}

fn fold(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn fold_matches(name: &str, folded: &str) -> bool {
    fold(name) == folded
}

/// The value of the first of `names` (folded) inside an object.
pub(super) fn inside<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    let fields = value.as_object()?;
    names.iter().find_map(|name| {
        let found = fields.iter().find(|(key, _)| fold_matches(key, name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn spelling_of_a_name_does_not_matter() {
        for name in ["targetRole", "target_role", "TargetRole", "target-role"] {
            let input = map(&json!({ name: " QA " }));
            assert_eq!(Fields::new(&input).text(&["targetrole"]).as_deref(), Some("QA"));
        }
    }

    #[test]
    fn wrappers_are_looked_into_but_never_win() {
        let input = map(&json!({"profile": {"skills": ["a"], "role": "x"}, "role": "y"}));
        let fields = Fields::new(&input);
        assert_eq!(fields.list(&["skills"]).len(), 1);
        assert_eq!(fields.text(&["role"]).as_deref(), Some("y"));
    }

    #[test]
    fn nulls_and_wrong_types_count_as_absent() {
        let input = map(&json!({"role": null, "weeklyHours": [], "name": true}));
        let fields = Fields::new(&input);
        assert_eq!(fields.text(&["role", "name"]), None);
        assert_eq!(fields.number(&["weeklyhours"]), None);
    }

    #[test]
    fn lists_come_as_arrays_objects_or_text() {
        let input = map(&json!({
            "a": ["Rust", {"skill_key": "sql", "proficiency": 40}],
            "b": {"Rust": 80},
            "c": "Rust, SQL; Go",
            "d": {"": 1, " ": 2},
        }));
        let fields = Fields::new(&input);
        let names = |name: &str| -> Vec<String> { fields.list(&[name]).into_iter().map(|item| item.text).collect() };
        assert_eq!(names("a"), ["Rust", "sql"]);
        assert_eq!(names("b"), ["Rust"]);
        assert_eq!(names("c"), ["Rust", "SQL", "Go"]);
        assert!(names("d").is_empty());
    }

    #[test]
    fn numbers_may_be_text() {
        assert_eq!(number(&json!("80 %")), Some(80.0));
        assert_eq!(number(&json!("many")), None);
        assert_eq!(number(&json!("inf")), None);
    }
}
