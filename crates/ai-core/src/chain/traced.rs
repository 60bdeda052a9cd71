//! The span of a call to a model, by OpenTelemetry's conventions for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>). What was asked and answered is in none.

use careeros_shared::trace::{Role, Span, Tracer};

use super::{Attempt, OK};
use crate::provider::{Prompt, Provider};

/// Which trace calls to models are part of.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    /// Makes their spans.
    pub tracer: &'a Tracer,
    /// The `traceparent` of what they are made for.
    pub parent: &'a str,
}

impl Trail<'_> {
    /// Begins the span of a call to `provider`.
    pub(super) fn begin(self, provider: &dyn Provider, prompt: &Prompt) -> Span {
        if !self.tracer.is_on() {
            return Span::none();
        }
        let model = provider.model();
        let mut span = self.tracer.start(Role::Client, format!("chat {model}"), Some(self.parent));
        span.set("gen_ai.operation.name", "chat");
        // The convention's name for whatever speaks this API.
        span.set("gen_ai.provider.name", "openai");
        span.set("gen_ai.request.model", model.to_owned());
        span.set("gen_ai.output.type", if prompt.json { "json" } else { "text" });
        if let Some((host, port)) = provider.server() {
            span.set("server.address", host.to_owned());
            span.set("server.port", i64::from(port));
        }
        span
    }
}

/// Ends the span of `attempt`.
pub(super) fn end(mut span: Span, attempt: &Attempt) {
    let counts = [
        ("gen_ai.usage.input_tokens", attempt.tokens.prompt),
        ("gen_ai.usage.output_tokens", attempt.tokens.completion),
    ];
    for (name, tokens) in counts {
        if tokens > 0 {
            span.set(name, i64::try_from(tokens).unwrap_or(i64::MAX));
        }
    }
    if attempt.outcome != OK {
        span.set("error.type", attempt.outcome);
        span.fail(attempt.outcome);
    }
}
