//! Answers of the chain as they are written: a model that does not begin is replaced by the next, one that has begun is
//! kept.

use careeros_shared::trace::Span;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::{Attempt, Budget, Chain, Link, OK, Question};
use crate::provider::{CallError, Piece, Pieces, Prompt, Tokens};

impl Chain {
    /// Asks the models for an answer as it is written, until one begins; each gets one try.
    pub async fn stream(&self, question: Question<'_>) -> (Option<Streaming<'_>>, Vec<Attempt>) {
        let Question { prompt, budget, trail } = question;
        let mut attempts = Vec::new();
        for (at, link) in self.links.iter().enumerate() {
            let started = Instant::now();
            if started >= budget.deadline || !link.breaker.allows(started) {
                continue;
            }
            let until = (started + budget.call).min(budget.deadline);
            let span = trail.begin(&*link.provider, prompt);
            let begun = timeout_at(until, link.begin(prompt)).map(|r| r.unwrap_or(Err(CallError::Timeout))).await;
            match begun {
                Ok((first, rest)) => {
                    let streaming = Streaming {
                        link,
                        primary: at == 0,
                        span,
                        started,
                        budget,
                        first: Some(first),
                        rest,
                        tokens: None,
                        failure: None,
                    };
                    return (Some(streaming), attempts);
                }
                Err(error) => {
                    link.note(Some(&error));
                    attempts.push(link.attempt(span, error.name(), started, Tokens::default()));
                }
            }
        }
        (None, attempts)
    }
}

impl Link {
    /// Opens a stream and awaits its first piece of text, so that a model that fails at once can be replaced.
    async fn begin(&self, prompt: &Prompt) -> Result<(String, Pieces), CallError> {
        let mut pieces = self.provider.stream(prompt).await?;
        loop {
            match pieces.next().await {
                Some(Ok(Piece::Text(text))) => return Ok((text, pieces)),
                Some(Ok(Piece::Usage(_))) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(CallError::Malformed),
            }
        }
    }
}

/// An answer that is being written.
pub struct Streaming<'a> {
    link: &'a Link,
    /// Whether the first model of the chain writes it.
    pub primary: bool,
    span: Span,
    started: Instant,
    budget: Budget,
    first: Option<String>,
    rest: Pieces,
    tokens: Option<Tokens>,
    failure: Option<CallError>,
}

impl std::fmt::Debug for Streaming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streaming").field("model", &self.model()).field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

impl Streaming<'_> {
    /// The model that writes.
    pub fn model(&self) -> &str {
        self.link.provider.model()
    }

    /// The next piece of text; `None` at the end, or where the answer broke off.
    pub async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let until = (Instant::now() + self.budget.call).min(self.budget.deadline);
            match timeout_at(until, self.rest.next()).await.unwrap_or(Some(Err(CallError::Timeout))) {
                Some(Ok(Piece::Text(text))) => return Some(text),
                Some(Ok(Piece::Usage(tokens))) => self.tokens = Some(tokens),
                Some(Err(error)) => {
                    self.failure = Some(error);
                    return None;
                }
                None => return None,
            }
        }
    }

    /// Whether the answer broke off before its end.
    pub fn broke(&self) -> bool {
        self.failure.is_some()
    }

    /// The call that wrote `text`.
    pub fn finish(self, prompt: &Prompt, text: &str) -> Attempt {
        self.link.note(self.failure.as_ref());
        let tokens = self.tokens.unwrap_or_else(|| Tokens::estimate(prompt, text));
        self.link.attempt(self.span, self.failure.as_ref().map_or(OK, CallError::name), self.started, tokens)
    }
}
