//! A model with a fixed delay, behind as much of OpenAI's chat completions as the AI core asks for.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
    routing::post,
};
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the model is called.
pub(crate) const NAME: &str = "fixed-delay";
/// What it answers to everything: a valid output of the flow `productivity_advisor`, and a text like any other.
pub(crate) const TEXT: &str = r#"{"observations":["Three hours this week."],"recommendations":["Two hours on Monday."],"next_week_plan":[{"day":"Monday","minutes":120,"task":"Ship a service"}]}"#;
/// Pieces of a streamed answer: each is the time at which it was sent, in milliseconds since 1970.
pub(crate) const PIECES: usize = 20;
/// How long it thinks, and how long it takes from one piece to the next.
const DELAY: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    stream: bool,
}

/// The model's routes.
pub(super) fn router() -> Router {
    Router::new().route("/v1/chat/completions", post(complete))
}

async fn complete(Json(request): Json<Request>) -> Response {
    if request.stream {
        let pieces = stream::iter(0..PIECES).then(async |_| {
            tokio::time::sleep(DELAY).await;
            chunk(&json!([{"delta": {"content": format!("{:.3} ", now())}}]))
        });
        let end = stream::iter([chunk(&json!([])), Event::default().data("[DONE]")]);
        return Sse::new(pieces.chain(end).map(Ok::<_, Infallible>)).into_response();
    }
    tokio::time::sleep(DELAY).await;
    let choices = json!([{"message": {"role": "assistant", "content": TEXT}}]);
    Json(json!({"choices": choices, "usage": usage()})).into_response()
}

fn chunk(choices: &Value) -> Event {
    Event::default().data(json!({"choices": choices, "usage": usage()}).to_string())
}

fn usage() -> Value {
    json!({"prompt_tokens": 200, "completion_tokens": 60})
}

/// In milliseconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}
