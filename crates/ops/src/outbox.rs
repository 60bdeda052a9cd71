//! Outboxes: events that wait for the broker, and those that it refuses and that are parked.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::join_all;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::{
    output::{Table, or_dash, span, thousands},
    settings::Service,
};

/// How long a database may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A service's outbox.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The service.
    pub service: Service,
    /// Events that the relay will publish.
    pub waiting: i64,
    /// How old the oldest of them is, in seconds.
    pub oldest_seconds: Option<i64>,
    /// Events that the broker has refused for good.
    pub parked: i64,
    /// Why the database does not say; then the numbers are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The outboxes asked for.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Statuses(pub Vec<Status>);

impl Statuses {
    /// Whether every database has answered.
    pub fn is_complete(&self) -> bool {
        self.0.iter().all(|status| status.error.is_none())
    }
}

/// Asks all of `databases` at once; one that does not answer is reported as such.
pub async fn status(databases: Vec<(Service, PgConnectOptions)>) -> Statuses {
    let asked = databases.into_iter().map(async |(service, options)| {
        let mut status = Status { service, waiting: 0, oldest_seconds: None, parked: 0, error: None };
        match count(&options).await {
            Ok((waiting, oldest, parked)) => {
                (status.waiting, status.oldest_seconds, status.parked) = (waiting, oldest, parked);
            }
            Err(error) => status.error = Some(format!("{error:#}")),
        }
        status
    });
    Statuses(join_all(asked).await)
}

async fn count(options: &PgConnectOptions) -> Result<(i64, Option<i64>, i64)> {
    let asked = async {
        let mut connection = connect(options).await?;
        sqlx::query_as(
            "select count(*) filter (where parked_at is null),
                    extract(epoch from now() - min(created_at) filter (where parked_at is null))::bigint,
                    count(*) filter (where parked_at is not null)
             from outbox",
        )
        .fetch_one(&mut connection)
        .await
        .context("the outbox cannot be read")
    };
    tokio::time::timeout(ANSWER, asked).await.context("the database does not answer")?
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let connect = tokio::time::timeout(ANSWER, PgConnection::connect_with(options));
    let at = format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default());
    connect
        .await
        .context("no answer")
        .and_then(|connected| Ok(connected?))
        .with_context(|| format!("cannot connect to {at}"))
}

/// A parked event.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Parked {
    /// Its place in the outbox.
    pub seq: i64,
    /// The event's id.
    pub event_id: Uuid,
    /// Where it should go.
    pub topic: String,
    /// The aggregate.
    pub key: String,
    /// Since when it is parked.
    pub parked_at: DateTime<Utc>,
    /// Length of the value in bytes.
    pub bytes: i32,
    /// Why the broker refused it.
    pub last_error: Option<String>,
}

/// The parked events of an outbox.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ParkedList(pub Vec<Parked>);

/// The parked events, oldest first.
///
/// # Errors
/// Where the database does not answer.
pub async fn parked(options: &PgConnectOptions) -> Result<ParkedList> {
    let rows = sqlx::query_as(
        "select seq, event_id, topic, key, parked_at, octet_length(value) as bytes, last_error
         from outbox where parked_at is not null order by seq",
    )
    .fetch_all(&mut connect(options).await?)
    .await?;
    Ok(ParkedList(rows))
}

/// What was done to parked events.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// `released` or `discarded`.
    pub done: &'static str,
    /// The places in the outbox.
    pub seqs: Vec<i64>,
}

/// Lets the relay try again: the event `seq`, or all parked ones.
///
/// # Errors
/// Where there is no such parked event or the database does not answer.
pub async fn release(options: &PgConnectOptions, seq: Option<i64>) -> Result<Changed> {
    let seqs: Vec<i64> = sqlx::query_scalar(
        "update outbox set parked_at = null, last_error = null
         where parked_at is not null and ($1::bigint is null or seq = $1) returning seq",
    )
    .bind(seq)
    .fetch_all(&mut connect(options).await?)
    .await?;
    changed("released", seq, seqs)
}

/// Deletes the parked event `seq`, which is then never published.
///
/// # Errors
/// Where there is no such parked event or the database does not answer.
pub async fn discard(options: &PgConnectOptions, seq: i64) -> Result<Changed> {
    let seqs: Vec<i64> =
        sqlx::query_scalar("delete from outbox where parked_at is not null and seq = $1 returning seq")
            .bind(seq)
            .fetch_all(&mut connect(options).await?)
            .await?;
    changed("discarded", Some(seq), seqs)
}

fn changed(done: &'static str, seq: Option<i64>, mut seqs: Vec<i64>) -> Result<Changed> {
    if let (Some(seq), []) = (seq, seqs.as_slice()) {
        bail!("no event {seq} is parked; careeros-ops outbox parked SERVICE lists those that are");
    }
    seqs.sort_unstable();
    Ok(Changed { done, seqs })
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["service", "waiting", "oldest", "parked", "error"]);
        for status in &self.0 {
            let known = |number: i64| if status.error.is_some() { "-".to_owned() } else { thousands(number) };
            let oldest = status.oldest_seconds.map(|seconds| u64::try_from(seconds).unwrap_or_default());
            table.row([
                status.service.to_string(),
                known(status.waiting),
                or_dash(oldest.map(|seconds| span(Duration::from_secs(seconds)))),
                known(status.parked),
                status.error.clone().unwrap_or_default(),
            ]);
        }
        write!(f, "{table}")
    }
}

impl fmt::Display for ParkedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("Nothing is parked.");
        }
        let mut table = Table::new(&["seq", "topic", "key", "parked at", "bytes", "error"]);
        for row in &self.0 {
            table.row([
                row.seq.to_string(),
                row.topic.clone(),
                row.key.clone(),
                row.parked_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                thousands(row.bytes),
                or_dash(row.last_error.as_ref()),
            ]);
        }
        write!(f, "{table}")
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seqs.as_slice() {
            [] => write!(f, "Nothing is parked."),
            [seq] => write!(f, "The event {seq} is {}.", self.done),
            seqs => write!(f, "{} events are {}.", seqs.len(), self.done),
        }
    }
}
