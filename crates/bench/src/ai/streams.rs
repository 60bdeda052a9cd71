//! Streamed answers: the model writes into each piece when it was sent, and the time until it is read is what the way takes.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Place, completion, conversation};
use crate::{report::Report, servers::model, times::Times};

/// Reads so many answers at once, straight from the model and through the gateway.
pub(super) async fn measure(place: &Place, streams: u16, report: &mut Report) -> Result<()> {
    let users = place.users.iter().cycle().take(streams.into());
    let direct = users.clone().map(|_| place.http.post(&place.model).json(&completion(true)));
    let through = users.map(|user| {
        let url = format!("{}/v1/ai/chat/stream", place.gateway);
        place.http.post(url).bearer_auth(&user.token).json(&conversation(user))
    });
    let alone = read("the model alone", direct, model_piece, report).await?;
    let with = read("through the gateway", through, gateway_piece, report).await?;
    with.above(alone).figures("ai, stream: added to each piece", report);
    Ok(())
}

async fn read(
    name: &str,
    requests: impl Iterator<Item = RequestBuilder>,
    piece: fn(&Value) -> Option<&str>,
    report: &mut Report,
) -> Result<Times> {
    let mut tasks = JoinSet::new();
    for request in requests {
        tasks.spawn(one(request, piece));
    }
    let (mut delays, mut short) = (Vec::new(), 0);
    for read in tasks.join_all().await {
        let read = read.with_context(|| format!("a stream {name}"))?;
        short += usize::from(read.len() != model::PIECES);
        delays.extend(read);
    }
    report.check(format!("ai, stream {name}: answers with too many or too few pieces"), &0, &short);
    let delays = Times::of(delays).context("nothing was streamed")?;
    delays.figures(&format!("ai, stream {name}: time of each piece on its way"), report);
    Ok(delays)
}

/// How long each piece of an answer was on its way, in milliseconds.
async fn one(request: RequestBuilder, piece: fn(&Value) -> Option<&str>) -> Result<Vec<f64>> {
    let answer = request.send().await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let mut bytes = answer.bytes_stream();
    let (mut text, mut delays) = (String::new(), Vec::new());
    while let Some(chunk) = bytes.next().await {
        let (chunk, now) = (chunk?, SystemTime::now().duration_since(UNIX_EPOCH)?);
        text += std::str::from_utf8(&chunk)?;
        while let Some((line, rest)) = text.split_once('\n') {
            let data = line.strip_prefix("data:").and_then(|data| serde_json::from_str::<Value>(data).ok());
            let sent = data.as_ref().and_then(|data| piece(data)?.trim().parse::<f64>().ok());
            delays.extend(sent.map(|sent| now.as_secs_f64() * 1e3 - sent));
            text = rest.to_owned();
        }
    }
    Ok(delays)
}

fn model_piece(data: &Value) -> Option<&str> {
    data.pointer("/choices/0/delta/content")?.as_str()
}

fn gateway_piece(data: &Value) -> Option<&str> {
    data["text"].as_str()
}
