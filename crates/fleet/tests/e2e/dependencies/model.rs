//! A language model as the test wants it: one that answers, or fails in each of the ways in which models do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers what is asked for.
    Answers,
    /// Refuses connections.
    Refuses,
    /// Takes requests and never answers.
    Hangs,
    /// Answers 500.
    Fails,
    /// Answers what nobody asked for.
    Babbles,
}

/// A server that speaks OpenAI's chat completions, in a mood.
pub(crate) struct Model {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    serving: Option<JoinHandle<()>>,
}

impl Model {
    /// A model that answers.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Answers));
        let serving = Some(tokio::spawn(serve(listener, Arc::clone(&mood))));
        Self { address, mood, serving }
    }

    /// `OPENAI_BASE_URL`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) async fn be(&mut self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        if mood == Mood::Refuses {
            if let Some(serving) = self.serving.take() {
                serving.abort();
                assert!(serving.await.is_err_and(|end| end.is_cancelled()));
            }
        } else if self.serving.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            self.serving = Some(tokio::spawn(serve(listener, Arc::clone(&self.mood))));
        }
    }
}

async fn serve(listener: TcpListener, mood: Arc<Mutex<Mood>>) {
    // Its connections end with the listener.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(answer(stream, Arc::clone(&mood)));
    }
}

/// Answers one request and closes.
async fn answer(mut stream: TcpStream, mood: Arc<Mutex<Mood>>) -> std::io::Result<()> {
    let request = read(&mut stream).await?;
    let mood = *mood.lock().unwrap();
    let streamed = request["stream"] == true;
    let (status, kind, body) = match mood {
        Mood::Hangs => {
            tokio::time::sleep(Duration::from_mins(10)).await;
            return Ok(());
        }
        Mood::Refuses | Mood::Fails => ("500 Internal Server Error", "text/plain", "out of order".to_owned()),
        Mood::Babbles => ("200 OK", "text/html", "<html>you have reached".to_owned()),
        Mood::Answers if streamed => {
            let chunk = json!({"choices": [{"delta": {"content": advice()}}]});
            ("200 OK", "text/event-stream", format!("data: {chunk}\n\ndata: [DONE]\n\n"))
        }
        Mood::Answers => {
            ("200 OK", "application/json", json!({"choices": [{"message": {"content": advice()}}]}).to_string())
        }
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all([head, body].concat().as_bytes()).await?;
    stream.shutdown().await
}

/// The body of the request on `stream`.
async fn read(stream: &mut TcpStream) -> std::io::Result<Value> {
    let mut text = Vec::new();
    loop {
        if stream.read_buf(&mut text).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let request = String::from_utf8_lossy(&text);
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let mut lengths = head
            .lines()
            .filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = lengths.next().unwrap_or_default();
        if body.len() >= length {
            return Ok(serde_json::from_str(body).unwrap_or_default());
        }
    }
}

/// What the flow `productivity_advisor` has to put out, which is good enough for a chat too.
fn advice() -> String {
    json!({
        "observations": ["You learn."], "recommendations": ["Go on."],
        "next_week_plan": [{"day": "Monday", "task": "Learn"}]
    })
    .to_string()
}
