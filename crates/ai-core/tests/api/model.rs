//! A real HTTP server that speaks OpenAI's chat completions and misbehaves as a test says, call by call.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use careeros_ai_core::provider::openai::Endpoint;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

/// How the server answers one call.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A completion with this text, 100 prompt and 50 completion tokens.
    Text(String),
    /// A status, with a header or without.
    Status(u16, Option<(&'static str, &'static str)>),
    /// 200 with a body that is not of the protocol.
    Body(&'static str),
    /// No answer for as long as anybody waits.
    Hang,
    /// 400 where a response format is asked for, a completion otherwise.
    WithoutJsonMode(String),
    /// Pieces as server-sent events, with an end mark or without.
    Stream(Vec<&'static str>, bool),
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Text(value.to_string())
    }
}

/// A model's server; it stops with the test.
pub(crate) struct ModelServer {
    base_url: String,
    model: &'static str,
    script: Arc<Script>,
    task: AbortHandle,
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    calls: Mutex<Vec<(HeaderMap, Value)>>,
}

impl ModelServer {
    /// A server of `model` that gives `replies` in order, and 500 afterwards.
    pub(crate) async fn start(model: &'static str, replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Arc::new(Script { replies: Mutex::new(replies.into_iter().collect()), calls: Mutex::default() });
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }).abort_handle();
        Self { base_url, model, script, task }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { base_url: self.base_url.clone(), api_key: Some("a-key".into()), model: self.model.to_owned() }
    }

    /// Stops answering; the port is closed.
    pub(crate) async fn stop(&self) {
        self.task.abort();
        let address = self.base_url.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        let refused = async || tokio::net::TcpStream::connect(&address).await.is_err();
        careeros_shared::testing::eventually("the port is closed", refused).await;
    }

    /// The headers and bodies of the calls so far.
    pub(crate) fn calls(&self) -> Vec<(HeaderMap, Value)> {
        self.script.calls.lock().unwrap().clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(script): State<Arc<Script>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let reply = script.replies.lock().unwrap().pop_front().unwrap_or(Reply::Status(500, None));
    script.calls.lock().unwrap().push((headers, body.clone()));
    match reply {
        Reply::Text(text) => completion(&text),
        Reply::Status(status, more) => {
            // Servers may repeat the prompt in their errors.
            let mut response = (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
            if let Some((name, value)) = more {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Reply::Body(text) => text.into_response(),
        Reply::Hang => std::future::pending().await,
        Reply::WithoutJsonMode(text) => {
            if body.get("response_format").is_some() {
                script.replies.lock().unwrap().push_front(Reply::WithoutJsonMode(text));
                StatusCode::BAD_REQUEST.into_response()
            } else {
                completion(&text)
            }
        }
        Reply::Stream(pieces, ends) => stream(&pieces, ends),
    }
}

fn completion(text: &str) -> Response {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    Json(json!({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 50}})).into_response()
}

fn stream(pieces: &[&'static str], ends: bool) -> Response {
    let mut events: Vec<String> = pieces
        .iter()
        .map(|piece| format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": piece}}]})))
        .collect();
    if ends {
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 50}});
        events.push(format!("data: {usage}\n\ndata: [DONE]\n\n"));
    }
    let chunks = futures::stream::iter(events.into_iter().map(|event| Ok::<_, Infallible>(Bytes::from(event))));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(chunks)).into_response()
}
