//! The answers that an interview input brings, in the shapes in which clients
//! send them: texts in the order of the questions, pairs of question and answer,
//! an object by question, or a conversation.

use serde_json::Value;

use super::fields::{self, Fields};
use super::interview::{question_text, same_question};

const ANSWER_LIST_FIELDS: &[&str] = &[
    "answers",
    "responses",
    "messages",
    "transcript",
    "qa",
    "history",
    "conversation",
    "interviewlog",
    "answer",
    "response",
];
const ANSWER_FIELDS: &[&str] = &["answer", "response", "text", "content", "value"];
/// More than this is not one interview.
const MAX_ANSWERS: usize = 30;

/// An answer and the question it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// The text of the question, or its id in the bank.
    pub(super) question: String,
    pub(super) answer: String,
}

/// The answers in an input. `questions` are those the answers belong to where
/// an answer does not name its own.
pub(super) fn read(fields: &Fields<'_>, questions: &[&str]) -> Vec<Given> {
    let mut given = match fields.get(ANSWER_LIST_FIELDS) {
        Some(Value::Array(values)) if is_conversation(values) => conversation(values),
        Some(Value::Array(values)) => list(values, questions),
        Some(Value::Object(pairs)) => pairs
            .iter()
            .filter_map(|(question, answer)| Some(Given { question: question.clone(), answer: fields::label(answer)? }))
            .collect(),
        Some(Value::String(text)) if !text.trim().is_empty() => {
            let asked = fields.text(&["question"]);
            let question = asked.or_else(|| questions.first().map(|&first| first.to_owned()));
            vec![Given { question: question.unwrap_or_default(), answer: text.trim().to_owned() }]
        }
        _ => Vec::new(),
    };
    given.truncate(MAX_ANSWERS);
    given
}

fn list(values: &[Value], questions: &[&str]) -> Vec<Given> {
    values
        .iter()
        .enumerate()
        .filter_map(|(at, value)| {
            let in_order = || questions.get(at).map(|&question| question.to_owned());
            let (question, answer) = match value {
                Value::Object(_) => {
                    let named = fields::inside(value, &["question", "questionid", "prompt", "id"]);
                    let question = named.and_then(question_text).or_else(in_order);
                    (question, fields::inside(value, ANSWER_FIELDS)?)
                }
                other => (in_order(), other),
            };
            let question = question.unwrap_or_else(|| format!("question {}", at + 1));
            Some(Given { question, answer: fields::label(answer)? })
        })
        .collect()
}

fn is_conversation(values: &[Value]) -> bool {
    !values.is_empty() && values.iter().all(|value| fields::inside(value, &["role"]).is_some())
}

/// What the user says after the other side has asked.
fn conversation(values: &[Value]) -> Vec<Given> {
    let mut asked = String::new();
    let mut given: Vec<Given> = Vec::new();
    for value in values {
        let Some(text) = fields::inside(value, ANSWER_FIELDS).and_then(fields::label) else {
            continue;
        };
        let role = fields::inside(value, &["role"]).and_then(Value::as_str).unwrap_or_default();
        if !matches!(role, "user" | "candidate") {
            asked = text;
            continue;
        }
        match given.last_mut() {
            Some(last) if same_question(&last.question, &asked) => {
                last.answer.push('\n');
                last.answer.push_str(&text);
            }
            _ if asked.is_empty() => {}
            _ => given.push(Given { question: asked.clone(), answer: text }),
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(input: &Value) -> Vec<(String, String)> {
        let map = input.as_object().cloned().unwrap();
        let read = read(&Fields::new(&map), &["Q one", "Q two"]);
        read.into_iter().map(|each| (each.question, each.answer)).collect()
    }

    fn pair(question: &str, answer: &str) -> (String, String) {
        (question.to_owned(), answer.to_owned())
    }

    #[test]
    fn answers_come_in_every_usual_shape() {
        let cases = [
            (
                json!({"answers": ["a", "b", "c"]}),
                vec![pair("Q one", "a"), pair("Q two", "b"), pair("question 3", "c")],
            ),
            (json!({"messages": [{"question": "Own?", "answer": "a"}]}), vec![pair("Own?", "a")]),
            (json!({"answers": [{"question_id": "sql-1", "text": "a"}]}), vec![pair("sql-1", "a")]),
            (json!({"responses": {"sql-1": "a"}}), vec![pair("sql-1", "a")]),
            (json!({"question": "Own?", "answer": "a"}), vec![pair("Own?", "a")]),
            (json!({"answer": "a"}), vec![pair("Q one", "a")]),
            (
                json!({"transcript": [
                    {"role": "assistant", "content": "Own?"}, {"role": "user", "content": "a"},
                    {"role": "user", "content": "b"},
                ]}),
                vec![pair("Own?", "a\nb")],
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(given(&input), expected, "{input}");
        }
    }

    #[test]
    fn empty_and_odd_values_are_no_answers() {
        for input in [json!({}), json!({"answers": []}), json!({"answers": [null, "", {}]}), json!({"answers": 7})] {
            assert_eq!(given(&input), [], "{input}");
        }
    }
}
