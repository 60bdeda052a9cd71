//! Doing something about dead letters: replaying them, or discarding them.
//!
//! A replayed record goes to the topic that it came from, as it was. All groups of the topic get it, and those that had
//! applied its event drop it by its id. The marker is written after that: a crash in between leaves the record dead, and
//! replaying it once more does no harm.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use anyhow::{Context as _, Result, bail};
use careeros_shared::dead_letter as header;
use futures::future::join_all;
use rdkafka::{
    Message as _,
    error::KafkaError,
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use serde::Serialize;

use super::{DeadLetter, Filter, Place, REPLAYED_FROM, RESOLUTION, RESOLVED, get, partitions, scan};
use crate::{
    broker::Broker,
    log::Log,
    output::{Table, count, say, thousands},
};

/// Rows that are shown.
const ROWS: usize = 50;

#[derive(Debug, Clone, Copy)]
enum Action {
    Replay,
    Discard,
}

impl Action {
    fn done(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Discard => "discarded",
        }
    }
}

/// What was done about dead letters.
#[derive(Debug, Serialize)]
pub struct Resolved {
    /// `replayed` or `discarded`.
    pub done: &'static str,
    /// About which.
    pub records: Vec<ResolvedRecord>,
}

/// What was done about one.
#[derive(Debug, Serialize)]
pub struct ResolvedRecord {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// Where it is now too, where it was replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Place>,
}

/// Sends the dead letter at `place` to its topic again; one about which something was done only with `again`.
///
/// # Errors
/// Where there is none, where it was resolved before, or the broker does not take it.
pub async fn replay(broker: &Broker, which: &Which) -> Result<Resolved> {
    Resolver::new(broker, Action::Replay)?.run(which).await
}

/// Notes that nothing will be done about dead letters.
///
/// # Errors
/// As [`replay`].
pub async fn discard(broker: &Broker, which: &Which) -> Result<Resolved> {
    Resolver::new(broker, Action::Discard)?.run(which).await
}

/// Which dead letters to do something about.
#[derive(Debug, Clone)]
pub enum Which {
    /// One.
    One {
        /// Where it is.
        place: Place,
        /// Also where something was done about it before.
        again: bool,
    },
    /// All that were there at the beginning and about which nothing was done.
    All(Filter),
}

struct Resolver<'a> {
    broker: &'a Broker,
    action: Action,
    producer: FutureProducer,
    resolved: Vec<ResolvedRecord>,
}

impl<'a> Resolver<'a> {
    fn new(broker: &'a Broker, action: Action) -> Result<Self> {
        Ok(Self { broker, action, producer: broker.producer()?, resolved: Vec::new() })
    }

    async fn run(mut self, which: &Which) -> Result<Resolved> {
        match which {
            Which::One { place, again } => self.one(place, *again).await?,
            Which::All(filter) => self.all(filter).await?,
        }
        Ok(Resolved { done: self.action.done(), records: self.resolved })
    }

    async fn one(&mut self, place: &Place, again: bool) -> Result<()> {
        let (letter, record) = get(self.broker, place).await?;
        if let Some(resolution) = letter.resolution.filter(|_| !again) {
            bail!("{place} was {} before; --again does it all the same", resolution.how);
        }
        self.resolve(vec![record]).await
    }

    async fn all(&mut self, filter: &Filter) -> Result<()> {
        // What fails again while this runs is behind these ends, so that it cannot go round in a circle.
        let partitions = partitions(self.broker, filter).await?;
        let letters = scan(self.broker, &partitions, filter).await?;
        let mut dead: HashMap<String, HashSet<(i32, i64)>> = HashMap::new();
        for Place { topic, partition, offset } in
            letters.into_iter().filter(|letter| letter.resolution.is_none()).map(|letter| letter.place)
        {
            dead.entry(topic).or_default().insert((partition, offset));
        }
        let total: usize = dead.values().map(HashSet::len).sum();
        let mut log = Log::open(self.broker, &partitions)?;
        while self.resolved.len() < total {
            let mut records = log.batch().await?;
            if records.is_empty() {
                break;
            }
            records.retain(|record| {
                dead.get(record.topic()).is_some_and(|dead| dead.contains(&(record.partition(), record.offset())))
            });
            self.resolve(records).await.with_context(|| {
                format!(
                    "{} of {} were {}, then it failed; run it again to go on",
                    self.resolved.len(),
                    total,
                    self.action.done()
                )
            })?;
            say(format_args!("{} of {}", thousands(self.resolved.len() as i128), count(total, "record")));
        }
        Ok(())
    }

    /// Does it about `records`, in their order, and notes about which it is done.
    async fn resolve(&mut self, records: Vec<OwnedMessage>) -> Result<()> {
        let mut failure = None;
        let done: Vec<(OwnedMessage, Option<Place>)> = match self.action {
            Action::Discard => records.into_iter().map(|record| (record, None)).collect(),
            Action::Replay => {
                let mut deliveries = Vec::new();
                for record in &records {
                    deliveries.push(self.send_again(record).await?);
                }
                let delivered = join_all(deliveries).await;
                let mut done = Vec::new();
                for (record, delivered) in records.into_iter().zip(delivered) {
                    match delivered {
                        Ok(place) => done.push((record, Some(place))),
                        Err(error) => failure = failure.or(Some(error)),
                    }
                }
                done
            }
        };
        let markers = join_all(done.iter().map(|(record, _)| self.mark(record))).await;
        for ((record, to), marked) in done.into_iter().zip(markers) {
            marked?;
            self.resolved.push(ResolvedRecord { place: DeadLetter::read(&record).place, to });
        }
        failure.map_or(Ok(()), Err)
    }

    /// Hands a record to the producer; the future is its acknowledgement.
    async fn send_again(&self, record: &OwnedMessage) -> Result<impl Future<Output = Result<Place>> + use<>> {
        let letter = DeadLetter::read(record);
        let place = letter.place;
        let without_ending = place.topic.trim_end_matches(header::SUFFIX);
        let topic = letter.origin.as_ref().map_or(without_ending, |origin| &origin.topic).to_owned();
        let original = match letter.origin {
            // It was too large together with the headers of a dead letter.
            Some(origin) if super::text(record, header::OMITTED).is_some() => {
                let original = self.broker.record(&origin.topic, origin.partition, origin.offset).await?;
                Some(original.with_context(|| format!("the value of {place} is only at {origin}, which is gone"))?)
            }
            _ => None,
        };
        let value = original.as_ref().unwrap_or(record).payload();
        let own = record.headers().into_iter().flat_map(|headers| headers.iter());
        let own = own.filter(|header| !header.key.starts_with(header::PREFIX) && header.key != REPLAYED_FROM);
        let headers = own.fold(OwnedHeaders::new(), OwnedHeaders::insert);
        let headers = match &original {
            // There is no room for another header either.
            Some(_) => headers,
            None => headers.insert(Header { key: REPLAYED_FROM, value: Some(&place.to_string()) }),
        };
        let sent = FutureRecord {
            topic: &topic,
            partition: None,
            payload: value,
            key: record.key(),
            timestamp: None,
            headers: Some(headers),
        };
        let delivery = self.producer.send_result(sent).map_err(|(error, _)| error);
        let delivery = delivery.with_context(|| format!("{place} cannot be sent to {topic}"))?;
        Ok(async move {
            let delivered = match delivery.await {
                Ok(delivered) => delivered.map_err(|(error, _)| error),
                Err(_) => Err(KafkaError::Canceled),
            };
            let delivered = delivered.with_context(|| format!("{topic} does not take {place}"))?;
            Ok(Place { topic, partition: delivered.partition, offset: delivered.offset })
        })
    }

    /// Writes the marker of a record.
    async fn mark(&self, record: &OwnedMessage) -> Result<()> {
        let resolved = format!("{}/{}", record.partition(), record.offset());
        let headers = OwnedHeaders::new()
            .insert(Header { key: RESOLVED, value: Some(&resolved) })
            .insert(Header { key: RESOLUTION, value: Some(self.action.done()) });
        let marker = FutureRecord::<[u8], [u8]> {
            topic: record.topic(),
            partition: Some(record.partition()),
            payload: None,
            key: record.key(),
            timestamp: None,
            headers: Some(headers),
        };
        let delivery = self.producer.send_result(marker).map_err(|(error, _)| error);
        let delivered = match delivery {
            Ok(delivery) => {
                delivery.await.map_err(|_| KafkaError::Canceled).and_then(|d| d.map_err(|(error, _)| error))
            }
            Err(error) => Err(error),
        };
        delivered.with_context(|| {
            let done = self.action.done();
            format!(
                "{}/{resolved} is {done}, but that could not be noted: do it again, which does no harm",
                record.topic()
            )
        })?;
        Ok(())
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.records.is_empty() {
            return f.write_str("No dead letters: there was nothing to do.");
        }
        let mut table = Table::new(&["record", self.done]);
        for record in self.records.iter().take(ROWS) {
            let to = record.to.as_ref().map_or_else(|| "yes".to_owned(), |to| format!("to {to}"));
            table.row([record.place.to_string(), to]);
        }
        write!(f, "{table}")?;
        let more = self.records.len().saturating_sub(ROWS);
        if more > 0 {
            writeln!(f, "and {} more", count(more, "record"))?;
        }
        Ok(())
    }
}
