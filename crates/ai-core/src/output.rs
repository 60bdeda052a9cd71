//! What a model wrote, as the JSON object it was asked for.

use serde_json::{Map, Value};

/// Ends the thoughts that some models write before their answer.
const THOUGHTS_END: &str = "</think>";

/// The JSON object in `text`: alone, in a code fence, or between prose. `None` where there is none.
pub fn object(text: &str) -> Option<Map<String, Value>> {
    let answer = text.rsplit(THOUGHTS_END).next().unwrap_or(text);
    let start = answer.find('{')?;
    let end = answer.rfind('}')?;
    let mut object: Value = serde_json::from_str(answer.get(start..=end)?).ok()?;
    strip_nul(&mut object);
    match object {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Removes U+0000 from all text, which PostgreSQL cannot store; PDF readers leave it in CVs.
pub fn strip_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => text.retain(|character| character != '\0'),
        Value::Array(items) => items.iter_mut().for_each(strip_nul),
        Value::Object(fields) => {
            if fields.keys().any(|name| name.contains('\0')) {
                *fields =
                    std::mem::take(fields).into_iter().map(|(name, value)| (name.replace('\0', ""), value)).collect();
            }
            fields.values_mut().for_each(strip_nul);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_is_found_wherever_the_model_put_it() {
        for text in [
            r#"{"a": 1}"#,
            "```json\n{\"a\": 1}\n```",
            "Sure! Here it is:\n```\n{\"a\": 1}\n```\nAnything else?",
            "<think>maybe {\"a\": 2}?</think>\n{\"a\": 1}",
        ] {
            assert_eq!(object(text).map(Value::Object), Some(json!({"a": 1})), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["", "I cannot do that.", "[1, 2]", "{\"a\": 1", "} {", "{\"a\": 1} and {\"b\": 2}"] {
            assert_eq!(object(text), None, "{text}");
        }
    }

    #[test]
    fn nul_is_removed_everywhere() {
        let mut value = json!({"a\u{0}b": ["x\u{0}", {"y": "\u{0}"}], "n": 1});
        strip_nul(&mut value);
        assert_eq!(value, json!({"ab": ["x", {"y": ""}], "n": 1}));
    }
}
