//! The border to language models: what is asked, what comes back, and how a call can fail. Everything behind the trait
//! is a server of somebody else's.

use std::{fmt, time::Duration};

use futures::stream::BoxStream;

pub mod openai;

/// Who speaks in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The service: rules that the others cannot change.
    System,
    /// The person, or the input of a flow.
    User,
    /// The model, earlier.
    Assistant,
}

/// One message of a prompt. Its text may be somebody's CV, so it never appears in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub speaker: Speaker,
    /// What is said.
    pub text: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.text.chars().count();
        f.debug_struct("Message").field("speaker", &self.speaker).field("characters", &length).finish_non_exhaustive()
    }
}

/// What a model is asked.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The conversation, the rules first.
    pub messages: Vec<Message>,
    /// Whether the answer is to be a JSON object.
    pub json: bool,
}

/// Tokens as the model counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read by the model.
    pub prompt: u64,
    /// Written by the model.
    pub completion: u64,
}

impl Tokens {
    /// What servers that do not count are taken to have used: four characters a token, as is usual for English
    /// (<https://help.openai.com/en/articles/4936856>).
    pub fn estimate(prompt: &Prompt, answer: &str) -> Self {
        let asked: usize = prompt.messages.iter().map(|message| message.text.chars().count()).sum();
        let tokens = |characters: usize| u64::try_from(characters.div_ceil(4)).unwrap_or(u64::MAX);
        Self { prompt: tokens(asked), completion: tokens(answer.chars().count()) }
    }
}

/// A whole answer.
#[derive(Clone)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// What it used, where the server says.
    pub tokens: Option<Tokens>,
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// A part of an answer that is still being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// More text.
    Text(String),
    /// What the whole used; comes last, if at all.
    Usage(Tokens),
}

/// An answer as it is written.
pub type Pieces = BoxStream<'static, Result<Piece, CallError>>;

/// How a call to a model failed. Carries no text of the server's, which may repeat the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// 429; the server may say when to come back.
    RateLimited(Option<Duration>),
    /// 5xx.
    Server(u16),
    /// No answer in time.
    Timeout,
    /// The connection could not be made or broke.
    Connection,
    /// Another status: the request or the key is wrong, and will be the next time.
    Refused(u16),
    /// The server answered, but not in the protocol, or with nothing.
    Malformed,
}

impl CallError {
    /// Whether the same call may succeed in a moment.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::RateLimited(_) | Self::Server(_) | Self::Timeout | Self::Connection)
    }

    /// The name in events and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RateLimited(_) => "rate_limited",
            Self::Server(_) => "server_error",
            Self::Timeout => "timeout",
            Self::Connection => "connection_error",
            Self::Refused(_) => "refused",
            Self::Malformed => "malformed",
        }
    }
}

/// A language model.
#[tonic::async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// Its name in prices, usage and events.
    fn model(&self) -> &str;

    /// The host and port that calls go to, where they leave the process.
    fn server(&self) -> Option<(&str, u16)> {
        None
    }

    /// Asks for a whole answer. The caller bounds the time.
    ///
    /// # Errors
    /// How the call failed.
    async fn complete(&self, prompt: &Prompt) -> Result<Completion, CallError>;

    /// Asks for an answer as it is written. The caller bounds the time.
    ///
    /// # Errors
    /// How the call failed before the first piece; later failures are items of the stream.
    async fn stream(&self, prompt: &Prompt) -> Result<Pieces, CallError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_does_not_appear_in_debug_output() {
        let message = Message { speaker: Speaker::User, text: "my CV".to_owned() };
        let prompt = Prompt { messages: vec![message], json: true };
        let completion = Completion { text: "about my CV".to_owned(), tokens: None };
        assert!(!format!("{prompt:?}{completion:?}").contains("CV"));
    }
}
