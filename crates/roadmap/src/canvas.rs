//! What a draft holds as JSON: the interview, the nodes and the viewport of its canvas. Clients get the very text back that
//! they sent, so it is checked here and stored as it is.

use std::collections::HashSet;

use careeros_shared::{
    Result,
    error::{Error, FieldError},
    extract,
    validate::Checks,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The viewport of a draft that has none.
pub(crate) const DEFAULT_VIEWPORT: &str = r#"{"x":0,"y":0,"scale":1}"#;
/// No list, of messages or nodes.
pub(crate) const EMPTY: &str = "[]";
/// Questions and answers of an interview at the most.
pub(crate) const MESSAGES_MAX: usize = 50;
/// The longest question in characters.
pub(crate) const QUESTION_MAX: usize = 500;
/// The longest answer in characters.
pub(crate) const ANSWER_MAX: usize = 4_000;
/// Nodes of a canvas at the most.
const NODES_MAX: usize = 500;
/// How far from the canvas' origin anything may lie.
const COORDINATE_MAX: f64 = 1e6;
/// How far apart generated nodes lie.
const NODE_DISTANCE: (f64, f64) = (260.0, 160.0);

/// A question of an interview with its answer; an empty answer is one not given yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    pub(crate) question: String,
    pub(crate) answer: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    id: String,
    label: String,
    progress: f64,
    x: f64,
    y: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Viewport {
    x: f64,
    y: f64,
    scale: f64,
}

/// Checks an interview log.
pub(crate) fn check_log(checks: &mut Checks, json: &str) {
    if let Some(messages) = checks.ok(parse::<Vec<Message>>("interviewLog", json)) {
        check_messages(checks, "interviewLog", &messages);
    }
}

/// Checks the questions and answers of `field`.
pub(crate) fn check_messages(checks: &mut Checks, field: &str, messages: &[Message]) {
    checks.check(field, messages.len() <= MESSAGES_MAX, &format!("must have {MESSAGES_MAX} entries or fewer"));
    for (at, message) in messages.iter().enumerate() {
        checks.text(&format!("{field}[{at}].question"), &message.question, 1, QUESTION_MAX);
        checks.text(&format!("{field}[{at}].answer"), &message.answer, 0, ANSWER_MAX);
    }
}

/// Checks the nodes of a canvas.
pub(crate) fn check_nodes(checks: &mut Checks, json: &str) {
    const FIELD: &str = "roadmapNodes";
    let Some(nodes) = checks.ok(parse::<Vec<Node>>(FIELD, json)) else {
        return;
    };
    checks.check(FIELD, nodes.len() <= NODES_MAX, &format!("must have {NODES_MAX} entries or fewer"));
    let mut ids = HashSet::new();
    for (at, node) in nodes.iter().enumerate() {
        checks.text(&format!("{FIELD}[{at}].id"), &node.id, 1, 64);
        checks.check(&format!("{FIELD}[{at}].id"), ids.insert(&node.id), "must not repeat an earlier node's");
        checks.text(&format!("{FIELD}[{at}].label"), &node.label, 1, 255);
        checks.range(&format!("{FIELD}[{at}].progress"), node.progress, 0.0..=100.0);
        checks.range(&format!("{FIELD}[{at}].x"), node.x, -COORDINATE_MAX..=COORDINATE_MAX);
        checks.range(&format!("{FIELD}[{at}].y"), node.y, -COORDINATE_MAX..=COORDINATE_MAX);
    }
}

/// Checks what part of a canvas is seen.
pub(crate) fn check_viewport(checks: &mut Checks, json: &str) {
    const FIELD: &str = "canvasViewport";
    let Some(viewport) = checks.ok(parse::<Viewport>(FIELD, json)) else {
        return;
    };
    checks.range(&format!("{FIELD}.x"), viewport.x, -COORDINATE_MAX..=COORDINATE_MAX);
    checks.range(&format!("{FIELD}.y"), viewport.y, -COORDINATE_MAX..=COORDINATE_MAX);
    checks.range(&format!("{FIELD}.scale"), viewport.scale, 0.01..=100.0);
}

/// The stored log as messages.
///
/// # Errors
/// 500 where the stored text is none.
pub(crate) fn messages(stored: &str) -> Result<Vec<Message>> {
    serde_json::from_str(stored).map_err(Error::internal)
}

/// The stored nodes with one more for each of `labels`, in a row below all others. `prefix` begins the new nodes' ids.
///
/// # Errors
/// 500 where the stored text is no list.
pub(crate) fn add_nodes(stored: &str, prefix: &str, labels: &[String]) -> Result<String> {
    let mut nodes: Vec<Value> = serde_json::from_str(stored).map_err(Error::internal)?;
    let lowest = nodes.iter().filter_map(|node| node["y"].as_f64()).reduce(f64::max);
    let y = lowest.map_or(0.0, |lowest| lowest + NODE_DISTANCE.1);
    let mut x = 0.0;
    for (at, label) in labels.iter().enumerate() {
        nodes.push(json!({"id": format!("{prefix}-{}", at + 1), "label": label, "progress": 0, "x": x, "y": y}));
        x += NODE_DISTANCE.0;
    }
    serde_json::to_string(&nodes).map_err(Error::internal)
}

/// Reads the JSON of `field`; what is wrong is named by its path from there.
fn parse<T: DeserializeOwned>(field: &str, json: &str) -> Result<T> {
    extract::parse_json(json.as_bytes()).map_err(|error| {
        let named = error.fields().iter().map(|inner| FieldError {
            field: match inner.field.as_str() {
                "body" => field.to_owned(),
                path if path.starts_with('[') => format!("{field}{path}"),
                path => format!("{field}.{path}"),
            },
            message: inner.message.clone(),
        });
        Error::invalid_fields(named.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(check: fn(&mut Checks, &str), json: &str) -> Vec<String> {
        let mut checks = Checks::new();
        check(&mut checks, json);
        let Err(error) = checks.finish() else { return Vec::new() };
        error.fields().iter().map(|field| field.field.clone()).collect()
    }

    #[test]
    fn every_wrong_part_is_named_by_its_path() {
        assert_eq!(failing(check_log, r#"[{"question":"q"}]"#), ["interviewLog[0].answer"]);
        assert_eq!(failing(check_log, r#"[{"question":"","answer":"a"}]"#), ["interviewLog[0].question"]);
        assert_eq!(failing(check_log, r#"{"question":"q"}"#), ["interviewLog"]);
        assert_eq!(
            failing(check_nodes, r#"[{"id":"a","label":"l","progress":101,"x":0,"y":1e7}]"#),
            ["roadmapNodes[0].progress", "roadmapNodes[0].y"]
        );
        let node = r#"{"id":"a","label":"l","progress":0,"x":0,"y":0}"#;
        assert_eq!(failing(check_nodes, &format!("[{node},{node}]")), ["roadmapNodes[1].id"]);
        assert_eq!(failing(check_nodes, &format!("[{node}]").replace("\"y\":0", "\"z\":0")), ["roadmapNodes[0].z"]);
        assert_eq!(failing(check_viewport, r#"{"x":0,"y":0,"scale":0}"#), ["canvasViewport.scale"]);
        assert_eq!(failing(check_viewport, r#"{"x":0,"y":"0","scale":1}"#), ["canvasViewport.y"]);
        assert_eq!(failing(check_viewport, DEFAULT_VIEWPORT), [""; 0]);
    }

    #[test]
    fn added_nodes_leave_those_there_alone() {
        let drawn = r#"[{"id":"mine","label":"Mine","progress":40,"x":5,"y":10}]"#;
        let nodes = add_nodes(drawn, "run", &["A".to_owned(), "B".to_owned()]).unwrap();
        assert!(nodes.starts_with(&drawn[..drawn.len() - 1]), "{nodes}");
        assert_eq!(failing(check_nodes, &nodes), [""; 0]);
        let nodes: Vec<Value> = serde_json::from_str(&nodes).unwrap();
        assert_eq!((&nodes[1]["id"], &nodes[1]["y"]), (&json!("run-1"), &json!(170.0)));
        assert_eq!(nodes[2]["x"], 260.0);
    }
}
