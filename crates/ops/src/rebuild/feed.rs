//! Applies a group's events from the beginning of its topics, by the service's own handler and through an inbox.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use careeros_shared::{
    Error,
    consumer::{self, Applied, Handler},
    db::Db,
    events::Envelope,
};
use futures::FutureExt as _;
use rdkafka::{Message as _, message::OwnedMessage};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Task;
use crate::{
    broker::Partition,
    dlq::Place,
    log::Log,
    output::{say, thousands},
};

/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);
/// So few records may be left when consumers are held for them.
const NEARLY: u64 = 5000;
/// How often the ends of the topics are chased before it is given up.
const ROUNDS: u32 = 20;
/// Tries of a batch while the database is busy or away, and the wait after the first of them.
const TRIES: u32 = 6;
const WAIT: Duration = Duration::from_millis(200);

/// A record that the handler refuses.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// The event's id, where the record is an event.
    pub event_id: Option<Uuid>,
    /// Why.
    pub error: String,
}

/// The way of the events from the broker to the tables.
pub(super) struct Feed<'a, H> {
    task: &'a Task<H>,
    db: Db,
    log: Log,
    started: Instant,
    told: Instant,
    pub(super) records: u64,
    pub(super) duplicates: u64,
    pub(super) failed: Vec<Failed>,
}

impl<'a, H: Handler> Feed<'a, H> {
    pub(super) fn open(task: &'a Task<H>, db: Db, partitions: &[Partition]) -> Result<Self> {
        let log = Log::open(&task.broker, partitions)?;
        let now = Instant::now();
        Ok(Self { task, db, log, started: now, told: now, records: 0, duplicates: 0, failed: Vec::new() })
    }

    /// Applies what is there, until little is left of what has come meanwhile.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        say(format_args!("Reading {} records", thousands(self.log.behind())));
        for _ in 0..ROUNDS {
            self.drain().await?;
            self.extend().await?;
            if self.log.behind() <= NEARLY {
                return self.drain().await;
            }
        }
        bail!("events come faster than they are applied: try again when there are fewer")
    }

    /// Applies what has come until now.
    pub(super) async fn drain_to_now(&mut self) -> Result<()> {
        self.extend().await?;
        self.drain().await
    }

    async fn extend(&mut self) -> Result<()> {
        self.log.extend(&self.task.broker.partitions(self.task.projection.topics).await?)
    }

    async fn drain(&mut self) -> Result<()> {
        loop {
            let records = self.log.batch().await?;
            if records.is_empty() {
                return Ok(());
            }
            self.apply_all(&records).await?;
            self.records += records.len() as u64;
            self.tell();
        }
    }

    fn tell(&mut self) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        say(progress(self.records, self.records + self.log.behind(), self.started.elapsed()));
    }

    /// Applies every record that can be applied.
    async fn apply_all(&mut self, records: &[OwnedMessage]) -> Result<()> {
        let (mut places, mut events) = (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
        for record in records {
            match Envelope::parse(record.payload().unwrap_or_default()) {
                Ok(event) => {
                    places.push(record);
                    events.push(event);
                }
                Err(error) => self.fail(record, None, &error),
            }
        }
        // A part that fails is halved, the first half first.
        let mut parts: Vec<_> = std::iter::once(0..events.len()).collect();
        while let Some(part) = parts.pop() {
            match self.apply(&events[part.clone()]).await? {
                Ok(applied) => self.duplicates += applied.duplicates as u64,
                Err(error) if part.len() == 1 => {
                    self.fail(places[part.start], Some(events[part.start].event_id), &error);
                }
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        Ok(())
    }

    /// The outer error is the database's, the inner the handler's.
    async fn apply(&self, events: &[Envelope]) -> Result<Result<Applied, Error>> {
        let (group, handler) = (self.task.projection.group, &self.task.handler);
        let mut wait = WAIT;
        for attempt in 1.. {
            let applied = AssertUnwindSafe(consumer::apply(&self.db, group, handler, events)).catch_unwind().await;
            let applied = applied.unwrap_or_else(|_| Err(Error::internal(anyhow::anyhow!("the handler panicked"))));
            match applied {
                Err(error) if error.is_transient() && attempt < TRIES => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) if error.is_transient() => {
                    return Err(error).context("the database does not take the events");
                }
                applied => return Ok(applied),
            }
        }
        unreachable!("the last attempt returns")
    }

    fn fail(&mut self, record: &OwnedMessage, event_id: Option<Uuid>, error: &Error) {
        let place = Place { topic: record.topic().to_owned(), partition: record.partition(), offset: record.offset() };
        self.failed.push(Failed { place, event_id, error: error.to_string() });
    }

    /// The ids of the events that cannot be applied.
    pub(super) fn failed_ids(&self) -> Vec<Uuid> {
        self.failed.iter().filter_map(|failed| failed.event_id).collect()
    }

    /// Refuses to go on where an event that cannot be applied now is one that the live tables contain.
    pub(super) async fn refuse_losses(&self, session: &mut PgConnection, skip_failed: bool) -> Result<()> {
        let lost: Vec<Uuid> =
            sqlx::query_scalar("select event_id from public.inbox where consumer_group = $1 and event_id = any($2)")
                .bind(self.task.projection.group)
                .bind(self.failed_ids())
                .fetch_all(session)
                .await?;
        let Some(first) = lost.first() else { return Ok(()) };
        let failed = self.failed.iter().find(|failed| failed.event_id == Some(*first));
        let why = failed.map(|failed| format!("{}: {}", failed.place, failed.error)).unwrap_or_default();
        if skip_failed {
            say(format_args!("{} events that the live tables contain are left out, the first is {why}", lost.len()));
            return Ok(());
        }
        bail!(
            "{} events that the live tables contain cannot be applied any more, the first is {why}; correct the handler, or \
             leave them out by --skip-failed",
            lost.len()
        )
    }
}

fn progress(done: u64, total: u64, time: Duration) -> String {
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
    let millis = time.as_millis().max(1);
    let speed = u64::try_from(u128::from(done) * 1000 / millis).unwrap_or(u64::MAX);
    format!("{} of {} events ({percent} %), {}/s", thousands(done), thousands(total), thousands(speed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_one_line() {
        let text = progress(120_000, 1_000_000, Duration::from_millis(5714));
        assert_eq!(text, "120,000 of 1,000,000 events (12 %), 21,001/s");
        assert_eq!(progress(0, 0, Duration::ZERO), "0 of 0 events (100 %), 0/s");
    }
}
