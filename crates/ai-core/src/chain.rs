//! The chain of models: asks one after the other until one gives an answer that is accepted, within one deadline.
//! Transient failures are tried again with full jitter; a model that keeps failing is left out for a while.

use std::{sync::Arc, time::Duration};

use careeros_shared::trace::Span;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use tokio::time::{Instant, timeout_at};

use crate::{
    SERVICE,
    pricing::Price,
    provider::{CallError, Prompt, Provider, Tokens},
};

mod breaker;
mod retry;
mod streaming;
mod traced;

use breaker::Breaker;
pub use retry::RetryPolicy;
pub use streaming::Streaming;
pub use traced::Trail;

/// The outcome of a call whose answer was accepted.
const OK: &str = "ok";
/// The outcome of a call whose answer was not.
const INVALID: &str = "invalid_output";
/// Nobody waits longer for a model that asks for patience; the next one is asked instead.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What the time of one execution allows.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// When all models together must have answered.
    pub deadline: Instant,
    /// How long one call may take, or in a stream the next piece.
    pub call: Duration,
}

/// What models are asked for one execution.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What is asked.
    pub prompt: &'a Prompt,
    /// How long the answer may take.
    pub budget: Budget,
    /// Which trace the calls are part of.
    pub trail: Trail<'a>,
}

/// One call to a model.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The model.
    pub model: String,
    /// `ok`, `invalid_output`, or how the call failed.
    pub outcome: &'static str,
    /// How long it took.
    pub latency: Duration,
    /// What it used.
    pub tokens: Tokens,
    /// What that cost in dollars.
    pub cost: Decimal,
}

impl Attempt {
    /// Counts the call, which was part of an execution of `flow`.
    pub fn count(&self, flow: &str) {
        let label = |name: &'static str, value: &str| metrics::Label::new(name, value.to_owned());
        let call = vec![label("service", SERVICE.name), label("flow", flow), label("model", &self.model)];
        let with = |more| call.iter().cloned().chain([more]).collect::<Vec<_>>();
        metrics::counter!("ai_model_calls_total", with(label("outcome", self.outcome))).increment(1);
        metrics::histogram!("ai_model_call_duration_seconds", call.clone()).record(self.latency);
        for (kind, tokens) in [("prompt", self.tokens.prompt), ("completion", self.tokens.completion)] {
            metrics::counter!("ai_tokens_total", with(label("kind", kind))).increment(tokens);
        }
        // The sum of these is what the calls have cost; a counter would hold whole dollars only.
        metrics::histogram!("ai_model_call_cost_usd", call).record(self.cost.to_f64().unwrap_or_default());
    }
}

/// An accepted answer.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was made of the text.
    pub value: T,
    /// The model that gave it.
    pub model: String,
    /// Whether that is the first model of the chain.
    pub primary: bool,
}

/// How the chain went.
#[derive(Debug)]
pub struct Run<T> {
    /// The accepted answer, if any.
    pub answer: Option<Answer<T>>,
    /// All calls in order.
    pub attempts: Vec<Attempt>,
}

/// The models in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Chain {
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    provider: Arc<dyn Provider>,
    price: Price,
    breaker: Breaker,
}

impl Chain {
    /// A chain of `models` with their prices; an empty one never answers.
    pub fn new(models: impl IntoIterator<Item = (Arc<dyn Provider>, Price)>) -> Self {
        let link = |(provider, price)| Link { provider, price, breaker: Breaker::default() };
        Self { links: models.into_iter().map(link).collect() }
    }

    /// Whether there is no model at all.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Asks the models, at most the first `models` of them, until `accept` takes an answer.
    pub async fn run<T>(
        &self,
        question: Question<'_>,
        policy: RetryPolicy,
        models: usize,
        accept: impl Fn(&str) -> Option<T>,
    ) -> Run<T> {
        let mut run = Run { answer: None, attempts: Vec::new() };
        let links = &self.links[..models.min(self.links.len())];
        for (at, link) in links.iter().enumerate() {
            let is_last = at + 1 == links.len();
            let answered = link.ask(question, policy, is_last, &accept, &mut run.attempts).await;
            if let Some(value) = answered {
                run.answer = Some(Answer { value, model: link.provider.model().to_owned(), primary: at == 0 });
                break;
            }
        }
        run
    }
}

impl Link {
    /// Asks one model, again after transient failures as long as time and policy allow. A timeout is followed by
    /// another call only where the next model, if there is one, still gets its time.
    async fn ask<T>(
        &self,
        question: Question<'_>,
        policy: RetryPolicy,
        is_last: bool,
        accept: &impl Fn(&str) -> Option<T>,
        attempts: &mut Vec<Attempt>,
    ) -> Option<T> {
        let Question { prompt, budget, trail } = question;
        let reserved = if is_last { Duration::ZERO } else { budget.call };
        for failed in 1..=policy.attempts.max(1) {
            let started = Instant::now();
            if started >= budget.deadline || !self.breaker.allows(started) {
                return None;
            }
            let until = (started + budget.call).min(budget.deadline);
            let span = trail.begin(&*self.provider, prompt);
            let result = timeout_at(until, self.provider.complete(prompt)).await.unwrap_or(Err(CallError::Timeout));
            self.note(result.as_ref().err());
            let error = match result {
                Ok(completion) => {
                    let tokens = completion.tokens.unwrap_or_else(|| Tokens::estimate(prompt, &completion.text));
                    let value = accept(&completion.text);
                    attempts.push(self.attempt(span, if value.is_some() { OK } else { INVALID }, started, tokens));
                    return value;
                }
                Err(error) => error,
            };
            attempts.push(self.attempt(span, error.name(), started, Tokens::default()));
            let asked = if let CallError::RateLimited(asked) = error { asked } else { None };
            let wait = policy.wait(failed, rand::random(), asked);
            let too_late = Instant::now() + wait + reserved >= budget.deadline;
            if !error.is_transient() || asked > Some(LONGEST_RETRY_AFTER) || too_late || failed >= policy.attempts {
                return None;
            }
            tokio::time::sleep(wait).await;
        }
        None
    }

    /// Tells the breaker how a call went.
    fn note(&self, error: Option<&CallError>) {
        match error {
            None => self.breaker.succeeded(),
            Some(error) => {
                tracing::warn!(model = self.provider.model(), error = ?error, "a call to a model failed");
                self.breaker.failed(Instant::now());
            }
        }
    }

    /// The call that began at `started`; ends its span.
    fn attempt(&self, span: Span, outcome: &'static str, started: Instant, tokens: Tokens) -> Attempt {
        let model = self.provider.model().to_owned();
        let attempt = Attempt { model, outcome, latency: started.elapsed(), tokens, cost: self.price.of(tokens) };
        traced::end(span, &attempt);
        attempt
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{LazyLock, Mutex},
    };

    use careeros_shared::trace::Tracer;
    use futures::StreamExt;

    use super::*;
    use crate::provider::{Completion, Message, Piece, Pieces, Speaker};

    /// A model that does what a test says, call by call.
    #[derive(Debug)]
    struct Scripted {
        name: &'static str,
        calls: Mutex<VecDeque<Result<&'static str, CallError>>>,
        hangs: bool,
    }

    #[tonic::async_trait]
    impl Provider for Scripted {
        fn model(&self) -> &str {
            self.name
        }

        async fn complete(&self, _prompt: &Prompt) -> Result<Completion, CallError> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let next = self.calls.lock().unwrap().pop_front().unwrap_or(Err(CallError::Server(500)));
            next.map(|text| Completion { text: text.to_owned(), tokens: Some(Tokens { prompt: 10, completion: 5 }) })
        }

        async fn stream(&self, _prompt: &Prompt) -> Result<Pieces, CallError> {
            let next = self.calls.lock().unwrap().pop_front().unwrap_or(Err(CallError::Server(500)))?;
            let pieces = next.split('|').map(|text| match text {
                "!" => Err(CallError::Connection),
                text => Ok(Piece::Text(text.to_owned())),
            });
            Ok(futures::stream::iter(pieces.collect::<Vec<_>>()).boxed())
        }
    }

    fn model(name: &'static str, calls: impl Into<VecDeque<Result<&'static str, CallError>>>) -> Arc<dyn Provider> {
        Arc::new(Scripted { name, calls: Mutex::new(calls.into()), hangs: false })
    }

    fn chain(models: impl IntoIterator<Item = Arc<dyn Provider>>) -> Chain {
        Chain::new(models.into_iter().map(|model| (model, Price::default())))
    }

    fn prompt() -> Prompt {
        Prompt { messages: vec![Message { speaker: Speaker::User, text: "?".to_owned() }], json: false }
    }

    static OFF: LazyLock<Tracer> = LazyLock::new(Tracer::off);

    fn question(prompt: &Prompt) -> Question<'_> {
        let budget = Budget { deadline: Instant::now() + Duration::from_secs(25), call: Duration::from_secs(10) };
        Question { prompt, budget, trail: Trail { tracer: &OFF, parent: "" } }
    }

    async fn ask(chain: &Chain) -> Run<String> {
        let accept = |text: &str| (text != "nonsense").then(|| text.to_owned());
        chain.run(question(&prompt()), RetryPolicy::default(), usize::MAX, accept).await
    }

    fn outcomes<T>(run: &Run<T>) -> Vec<(&str, &str)> {
        run.attempts.iter().map(|attempt| (attempt.model.as_str(), attempt.outcome)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_again_and_the_primary_still_answers() {
        let chain = chain([model("a", [Err(CallError::Server(503)), Err(CallError::Connection), Ok("yes")])]);
        let run = ask(&chain).await;
        assert_eq!(outcomes(&run), [("a", "server_error"), ("a", "connection_error"), ("a", "ok")]);
        assert!(run.answer.unwrap().primary);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unacceptable_answer_goes_to_the_next_model_at_once_and_is_paid_for() {
        let chain = chain([model("a", [Ok("nonsense"), Ok("yes")]), model("b", [Ok("yes")])]);
        let run = ask(&chain).await;
        assert_eq!(outcomes(&run), [("a", "invalid_output"), ("b", "ok")]);
        assert_eq!(run.attempts[0].tokens.prompt, 10);
        let answer = run.answer.unwrap();
        assert_eq!((answer.model.as_str(), answer.primary), ("b", false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_tried_again() {
        let chain = chain([model("a", [Err(CallError::Refused(401)), Ok("yes")])]);
        let run = ask(&chain).await;
        assert_eq!(outcomes(&run), [("a", "refused")]);
        assert!(run.answer.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_retry_after_is_waited_for_and_a_long_one_is_not() {
        let started = Instant::now();
        let patient = chain([model("a", [Err(CallError::RateLimited(Some(Duration::from_secs(4)))), Ok("yes")])]);
        assert!(ask(&patient).await.answer.is_some());
        assert!(started.elapsed() >= Duration::from_secs(4));

        let started = Instant::now();
        let busy = model("a", [Err(CallError::RateLimited(Some(Duration::from_mins(1)))), Ok("late")]);
        let run = ask(&chain([busy, model("b", [Ok("yes")])])).await;
        assert_eq!(run.answer.unwrap().model, "b");
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_hangs_leaves_time_for_the_next() {
        let hanging = Arc::new(Scripted { name: "a", calls: Mutex::default(), hangs: true });
        let started = Instant::now();
        let run = ask(&chain([hanging, model("b", [Ok("yes")])])).await;
        assert_eq!(run.attempts[0].outcome, "timeout");
        assert_eq!(run.answer.unwrap().model, "b");
        assert!(started.elapsed() < Duration::from_secs(25));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_lasts_beyond_the_deadline() {
        let hanging = |name| Arc::new(Scripted { name, calls: Mutex::default(), hangs: true }) as Arc<dyn Provider>;
        let started = Instant::now();
        let run = ask(&chain([hanging("a"), hanging("b"), hanging("c")])).await;
        assert!(run.answer.is_none());
        assert!(started.elapsed() <= Duration::from_secs(25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_keeps_failing_is_left_out_and_tried_again_later() {
        let chain = chain([model("a", []), model("b", vec![Ok("yes"); 9])]);
        for _ in 0..3 {
            ask(&chain).await;
        }
        assert_eq!(outcomes(&ask(&chain).await), [("b", "ok")]);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(outcomes(&ask(&chain).await), [("a", "server_error"), ("b", "ok")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_falls_over_before_its_first_piece_and_keeps_what_came_after() {
        let chain = chain([model("a", [Err(CallError::Server(500))]), model("b", [Ok("Hel|lo|!|lost")])]);
        let prompt = prompt();
        let (streaming, attempts) = chain.stream(question(&prompt)).await;
        let mut streaming = streaming.unwrap();
        let mut text = String::new();
        while let Some(piece) = streaming.next().await {
            text.push_str(&piece);
        }
        assert_eq!((text.as_str(), streaming.broke(), streaming.primary), ("Hello", true, false));
        assert_eq!(attempts[0].outcome, "server_error");
        let last = streaming.finish(&prompt, &text);
        assert_eq!((last.model.as_str(), last.outcome, last.tokens.completion), ("b", "connection_error", 2));
    }
}
