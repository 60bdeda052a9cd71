//! Any server that speaks OpenAI's chat completions: <https://platform.openai.com/docs/api-reference/chat>.
//!
//! Sends nothing but what all such servers know: the model, the messages, and for JSON the response format, which is
//! left out from then on where a server refuses it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::DateTime;
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures::{Stream, StreamExt, future, stream};
use reqwest::{
    Client, Response, StatusCode,
    header::{self, HeaderMap},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{CallError, Completion, Piece, Pieces, Prompt, Provider, Speaker, Tokens};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An answer with more bytes is none.
const BODY_LIMIT: usize = 1024 * 1024;
/// The event that ends a stream.
const DONE: &str = "[DONE]";

/// Where a model is and how to ask it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The API's base, e.g. `https://api.openai.com/v1`.
    pub base_url: String,
    /// Sent as a bearer token; servers of one's own may need none.
    pub api_key: Option<SecretString>,
    /// The model's name.
    pub model: String,
}

/// A model behind OpenAI's API.
#[derive(Debug)]
pub struct OpenAi {
    client: Client,
    url: Url,
    endpoint: Endpoint,
    json_mode: AtomicBool,
}

/// A client for all models.
///
/// # Errors
/// Where the system has no usable certificates.
pub fn client() -> anyhow::Result<Client> {
    // Another part of the process may have chosen the provider already; it is the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(redirect::Policy::none());
    Ok(builder.user_agent("careeros-ai-core").build()?)
}

impl OpenAi {
    /// The model at `endpoint`.
    ///
    /// # Errors
    /// Where the base URL is none that can have a path.
    pub fn new(client: Client, endpoint: Endpoint) -> anyhow::Result<Self> {
        let mut url: Url = endpoint.base_url.parse()?;
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{} cannot have a path", endpoint.base_url))?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        Ok(Self { client, url, endpoint, json_mode: AtomicBool::new(true) })
    }

    /// Sends the prompt; once more without the response format where the server refuses that.
    async fn send(&self, prompt: &Prompt, streamed: bool) -> Result<Response, CallError> {
        let json = prompt.json && self.json_mode.load(Ordering::Relaxed);
        match self.send_as(prompt, streamed, json).await {
            Err(CallError::Refused(400 | 422)) if json => {
                let response = self.send_as(prompt, streamed, false).await?;
                self.json_mode.store(false, Ordering::Relaxed);
                Ok(response)
            }
            sent => sent,
        }
    }

    async fn send_as(&self, prompt: &Prompt, streamed: bool, json: bool) -> Result<Response, CallError> {
        let messages = prompt.messages.iter().map(|message| WireMessage {
            role: match message.speaker {
                Speaker::System => "system",
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            },
            content: &message.text,
        });
        let body = WireRequest {
            model: &self.endpoint.model,
            messages: messages.collect(),
            response_format: json.then_some(ResponseFormat { r#type: "json_object" }),
            stream: streamed,
            stream_options: streamed.then_some(StreamOptions { include_usage: true }),
        };
        let mut request = self.client.post(self.url.clone()).json(&body);
        if let Some(key) = &self.endpoint.api_key {
            request = request.bearer_auth(key.expose_secret());
        }
        let response = request.send().await.map_err(|error| call_error(&error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::TOO_MANY_REQUESTS => Err(CallError::RateLimited(retry_after(response.headers()))),
            status if status.is_server_error() => Err(CallError::Server(status.as_u16())),
            status => Err(CallError::Refused(status.as_u16())),
        }
    }
}

#[tonic::async_trait]
impl Provider for OpenAi {
    fn model(&self) -> &str {
        &self.endpoint.model
    }

    fn server(&self) -> Option<(&str, u16)> {
        Some((self.url.host_str()?, self.url.port_or_known_default()?))
    }

    async fn complete(&self, prompt: &Prompt) -> Result<Completion, CallError> {
        let body = read_body(self.send(prompt, false).await?).await?;
        let answer: WireResponse = serde_json::from_slice(&body).map_err(|_| CallError::Malformed)?;
        let text = answer.choices.into_iter().next().and_then(|choice| choice.message.content);
        let text = text.filter(|text| !text.trim().is_empty()).ok_or(CallError::Malformed)?;
        Ok(Completion { text, tokens: answer.usage.map(Tokens::from) })
    }

    async fn stream(&self, prompt: &Prompt) -> Result<Pieces, CallError> {
        let events = self.send(prompt, true).await?.bytes_stream().eventsource();
        Ok(pieces(events).boxed())
    }
}

/// The pieces of a stream of events; one that ends without its end mark broke.
fn pieces<S, E>(events: S) -> impl Stream<Item = Result<Piece, CallError>>
where
    S: Stream<Item = Result<Event, EventStreamError<E>>> + Send + Unpin,
{
    let read = stream::unfold(Some(events), |events| async move {
        let mut events = events?;
        match events.next().await {
            Some(Ok(event)) if event.data == DONE => None,
            Some(Ok(event)) => match serde_json::from_str::<WireChunk>(&event.data) {
                Ok(chunk) => Some((Ok(chunk), Some(events))),
                Err(_) => Some((Err(CallError::Malformed), None)),
            },
            Some(Err(_)) | None => Some((Err(CallError::Connection), None)),
        }
    });
    read.flat_map(|chunk| {
        let pieces = match chunk {
            Ok(chunk) => {
                let text = chunk.choices.into_iter().next().and_then(|choice| choice.delta.content);
                let text = text.filter(|text| !text.is_empty()).map(|text| Ok(Piece::Text(text)));
                let usage = chunk.usage.map(|usage| Ok(Piece::Usage(usage.into())));
                [text, usage]
            }
            Err(error) => [Some(Err(error)), None],
        };
        stream::iter(pieces).filter_map(future::ready)
    })
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| call_error(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_LIMIT {
            return Err(CallError::Malformed);
        }
    }
    Ok(body)
}

fn call_error(error: &reqwest::Error) -> CallError {
    if error.is_timeout() { CallError::Timeout } else { CallError::Connection }
}

/// `Retry-After` (RFC 9110, section 10.2.3) in seconds or as a date, which is compared with the server's own clock; or
/// `retry-after-ms`, which OpenAI adds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|value| value.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let value = text(header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(value).ok()?;
    let now = DateTime::parse_from_rfc2822(text(header::DATE.as_str())?).ok()?;
    Some((until - now).to_std().unwrap_or_default())
}

#[derive(Serialize)]
struct WireRequest<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct ResponseFormat {
    r#type: &'static str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Deserialize)]
struct WireResponse {
    choices: Vec<WireChoice>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireChoice {
    message: WireContent,
}

#[derive(Deserialize)]
struct WireChunk {
    #[serde(default)]
    choices: Vec<WireDelta>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireDelta {
    #[serde(default)]
    delta: WireContent,
}

#[derive(Default, Deserialize)]
struct WireContent {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl From<WireUsage> for Tokens {
    fn from(usage: WireUsage) -> Self {
        Self { prompt: usage.prompt_tokens, completion: usage.completion_tokens }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:30 GMT");
        let cases = [
            (headers(&[("retry-after", "7")]), Some(7000)),
            (headers(&[("retry-after", "7"), ("retry-after-ms", "1500")]), Some(1500)),
            (headers(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), date]), Some(7000)),
            (headers(&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), date]), Some(0)),
            (headers(&[("retry-after", "soon")]), None),
            (headers(&[]), None),
        ];
        for (headers, millis) in cases {
            assert_eq!(retry_after(&headers), millis.map(Duration::from_millis), "{headers:?}");
        }
    }

    #[test]
    fn the_path_is_appended_to_a_base_with_or_without_a_slash() {
        for base in ["http://localhost:1/v1", "http://localhost:1/v1/"] {
            let endpoint = Endpoint { base_url: base.to_owned(), api_key: None, model: "m".to_owned() };
            let model = OpenAi::new(client().unwrap(), endpoint).unwrap();
            assert_eq!(model.url.as_str(), "http://localhost:1/v1/chat/completions");
        }
    }
}
