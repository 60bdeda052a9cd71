//! Logs: one JSON object a line in production, readable lines on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging to standard error; a second call in the same process changes nothing.
///
/// `level` is a level or tracing directives (`info,careeros_auth=debug`).
pub fn init(level: &str, json: bool) {
    // librdkafka repeats an outage every second, which readiness and the relay report once; HTTP/2 talks a lot.
    let directives = format!("{level},librdkafka=off,rdkafka=off,h2=warn,hyper=warn,tower=warn,sqlx=warn");
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(lines.json().flatten_event(true).with_current_span(true).with_span_list(false)).try_init()
    } else {
        registry.with(lines.compact().with_target(false).with_ansi(std::io::stderr().is_terminal())).try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
