//! Requests at an even rate, whatever the answers take: each is sent at its time without waiting for those before, and its
//! time is counted from when it was due.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use crate::report::rate;

/// How the sending went.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Answers a second.
    pub(crate) rate: f64,
    /// How long each good answer took in milliseconds.
    pub(crate) times: Vec<f64>,
    /// What was wrong with the others; empty where nothing was.
    pub(crate) failures: String,
}

/// Sends `count` requests. An answer is good where its status is 200 and `is_right` says so of its body.
pub(crate) async fn send(
    per_second: u32,
    count: usize,
    request: impl Fn(usize) -> RequestBuilder,
    is_right: fn(&Value) -> bool,
) -> Result<Sent> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (started, mut tasks) = (Instant::now(), JoinSet::new());
    for number in 0..count {
        let due = ticks.tick().await;
        let request = request(number);
        tasks.spawn(async move {
            let answer = request.send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            let took = due.elapsed();
            ensure!(status == StatusCode::OK, "{status} {text}");
            let body = serde_json::from_str(&text).with_context(|| text.clone())?;
            ensure!(is_right(&body), "{text}");
            Ok(took.as_secs_f64() * 1e3)
        });
    }
    let answered: Vec<Result<f64>> = tasks.join_all().await;
    let rate = rate(count as u64, started.elapsed());
    let (times, failures): (Vec<_>, Vec<_>) = answered.into_iter().partition(Result::is_ok);
    let failures: Vec<_> = failures.into_iter().filter_map(Result::err).collect();
    let first = failures.first().map(|first| format!("{} of {count}, the first: {first:#}", failures.len()));
    Ok(Sent { rate, times: times.into_iter().flatten().collect(), failures: first.unwrap_or_default() })
}
