//! Dead letters: records on `<topic>.dlq` that a consumer group could not apply.
//!
//! A topic only grows, so what has been done about a record is another record of the same partition, a marker, which names
//! the record's offset in its headers.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use anyhow::{Result, bail};
use careeros_shared::{dead_letter as header, events::Envelope};
use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::{
    Message as _,
    message::{Headers as _, OwnedMessage},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    broker::{Broker, Partition},
    log::Log,
    output::{Table, count, or_dash},
};

mod resolve;

pub use resolve::{Resolved, ResolvedRecord, Which, discard, replay};

/// Of a marker: `<partition>/<offset>` of the record that it is about.
pub const RESOLVED: &str = "dlq.resolved";
/// Of a marker: what was done about it, `replayed` or `discarded`.
pub const RESOLUTION: &str = "dlq.resolution";
/// Of a record that was replayed: `<dead-letter topic>/<partition>/<offset>`.
pub const REPLAYED_FROM: &str = "replayed_from";

/// Where a record is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A record that could not be applied.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetter {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// When it came there.
    pub dead_at: Option<DateTime<Utc>>,
    /// Where it was read.
    pub origin: Option<Place>,
    /// The group that could not apply it.
    pub group: Option<String>,
    /// Why.
    pub error: Option<String>,
    /// The event's type, where the value says it.
    pub event_type: Option<String>,
    /// What has been done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
}

/// What has been done about a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// `replayed` or `discarded`.
    pub how: String,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

/// Which dead letters.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this topic, named with or without `.dlq`.
    pub topic: Option<String>,
    /// Of this consumer group.
    pub group: Option<String>,
}

/// The name of the dead-letter topic of `topic`, which may be that one itself.
pub fn topic_of(topic: &str) -> String {
    if topic.ends_with(header::SUFFIX) { topic.to_owned() } else { format!("{topic}{}", header::SUFFIX) }
}

impl DeadLetter {
    fn read(record: &OwnedMessage) -> Self {
        let place = Place { topic: record.topic().to_owned(), partition: record.partition(), offset: record.offset() };
        let origin = text(record, header::TOPIC).and_then(|topic| {
            let number = |name| text(record, name);
            Some(Place {
                topic,
                partition: number(header::PARTITION)?.parse().ok()?,
                offset: number(header::OFFSET)?.parse().ok()?,
            })
        });
        let envelope = Envelope::parse(record.payload().unwrap_or_default()).ok();
        Self {
            place,
            dead_at: time(record),
            origin,
            group: text(record, header::GROUP),
            error: text(record, header::ERROR),
            event_type: envelope.map(|envelope| envelope.event_type).or_else(|| text(record, "event_type")),
            resolution: None,
        }
    }
}

/// The last of the record's headers called `name`: earlier ones may be of an earlier life.
fn text(record: &OwnedMessage, name: &str) -> Option<String> {
    let headers = record.headers()?;
    let value = headers.iter().filter(|header| header.key == name).filter_map(|header| header.value).last()?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn time(record: &OwnedMessage) -> Option<DateTime<Utc>> {
    record.timestamp().to_millis().and_then(DateTime::from_timestamp_millis)
}

/// The place that a marker is about and what it says; none for any other record.
fn marker(record: &OwnedMessage) -> Option<(Place, Resolution)> {
    let resolved = text(record, RESOLVED)?;
    let (partition, offset) = resolved.split_once('/')?;
    let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
    let how = text(record, RESOLUTION).unwrap_or_default();
    Some((Place { topic: record.topic().to_owned(), partition, offset }, Resolution { how, at: time(record) }))
}

/// The partitions of the dead-letter topics that `filter` leaves.
async fn partitions(broker: &Broker, filter: &Filter) -> Result<Vec<Partition>> {
    let wanted = filter.topic.as_deref().map(topic_of);
    let mut topics: Vec<_> = broker.topics().await?.into_keys().filter(|name| name.ends_with(header::SUFFIX)).collect();
    if let Some(wanted) = &wanted {
        topics.retain(|topic| topic == wanted);
    }
    broker.partitions(&topics).await
}

/// Reads all dead letters of `partitions` that `filter` leaves, without their values, in order of their places.
async fn scan(broker: &Broker, partitions: &[Partition], filter: &Filter) -> Result<Vec<DeadLetter>> {
    let mut log = Log::open(broker, partitions)?;
    let (mut letters, mut resolutions) = (BTreeMap::new(), HashMap::new());
    loop {
        let records = log.batch().await?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            if let Some((place, resolution)) = marker(record) {
                resolutions.insert(place, resolution);
            } else {
                let letter = DeadLetter::read(record);
                if filter.group.is_none() || filter.group == letter.group {
                    letters.insert(letter.place.clone(), letter);
                }
            }
        }
    }
    for (place, resolution) in resolutions {
        if let Some(letter) = letters.get_mut(&place) {
            letter.resolution = Some(resolution);
        }
    }
    Ok(letters.into_values().collect())
}

/// Dead letters, oldest first.
#[derive(Debug, Serialize)]
pub struct List {
    /// The first of them.
    pub records: Vec<DeadLetter>,
    /// How many there are.
    pub total: usize,
}

/// The dead letters that `filter` leaves, oldest first and `limit` at the most; those about which something has been done
/// only with `all`.
///
/// # Errors
/// Where the broker does not answer.
pub async fn list(broker: &Broker, filter: &Filter, all: bool, limit: usize) -> Result<List> {
    let mut records = scan(broker, &partitions(broker, filter).await?, filter).await?;
    records.retain(|letter| all || letter.resolution.is_none());
    records.sort_by_key(|letter| letter.dead_at);
    let total = records.len();
    records.truncate(limit);
    Ok(List { records, total })
}

/// A dead letter with all that it holds.
#[derive(Debug, Serialize)]
pub struct Detail {
    /// What the list says of it.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// Its key.
    pub key: Option<String>,
    /// All headers.
    pub headers: Vec<(String, Option<String>)>,
    /// Its value, where that is JSON.
    pub value: Option<Value>,
    /// Its value, where that is not JSON; what is no visible ASCII is escaped.
    pub raw: Option<String>,
}

/// A dead letter with all that it holds.
///
/// # Errors
/// Where there is none at this place, or the broker does not answer.
pub async fn show(broker: &Broker, place: &Place) -> Result<Detail> {
    let (letter, record) = get(broker, place).await?;
    let payload = record.payload().unwrap_or_default();
    let value = serde_json::from_slice(payload).ok();
    let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    Ok(Detail {
        letter,
        key: record.key().map(escape),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(escape))).collect(),
        raw: value.is_none().then(|| escape(payload)),
        value,
    })
}

fn escape(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// The dead letter at `place`, and its record.
async fn get(broker: &Broker, place: &Place) -> Result<(DeadLetter, OwnedMessage)> {
    let Place { topic, partition, offset } = place;
    let Some(record) = broker.record(topic, *partition, *offset).await? else {
        bail!("there is no record {place}; careeros-ops dlq list shows those that there are");
    };
    if let Some((about, resolution)) = marker(&record) {
        bail!("{place} is no dead letter: it notes that {about} was {}", resolution.how);
    }
    let filter = Filter { topic: Some(topic.clone()), group: None };
    let mut rest = partitions(broker, &filter).await?;
    rest.retain(|rest| rest.number == *partition);
    for rest in &mut rest {
        rest.low = *offset;
    }
    let letters = scan(broker, &rest, &filter).await?;
    let letter = letters.into_iter().find(|letter| letter.place == *place);
    Ok((letter.unwrap_or_else(|| DeadLetter::read(&record)), record))
}

fn second(time: Option<DateTime<Utc>>) -> String {
    or_dash(time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)))
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total == 0 {
            return f.write_str("No dead letters.");
        }
        let mut table = Table::new(&["topic", "partition", "offset", "since", "group", "event", "state", "error"]);
        for letter in &self.records {
            table.row([
                letter.place.topic.clone(),
                letter.place.partition.to_string(),
                letter.place.offset.to_string(),
                second(letter.dead_at),
                or_dash(letter.group.as_ref()),
                or_dash(letter.event_type.as_ref()),
                letter.resolution.as_ref().map_or("dead", |resolution| &resolution.how).to_owned(),
                or_dash(letter.error.as_ref()),
            ]);
        }
        write!(f, "{table}")?;
        let more = self.total - self.records.len();
        if more > 0 {
            writeln!(f, "and {} more; --limit shows more of them", count(more, "record"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeadLetter { place, dead_at, origin, group, error, resolution, .. } = &self.letter;
        writeln!(f, "record   {place}")?;
        writeln!(f, "since    {}", second(*dead_at))?;
        writeln!(f, "origin   {}", or_dash(origin.as_ref()))?;
        writeln!(f, "group    {}", or_dash(group.as_ref()))?;
        writeln!(f, "error    {}", or_dash(error.as_ref()))?;
        if let Some(Resolution { how, at }) = resolution {
            writeln!(f, "state    {how} at {}", second(*at))?;
        }
        writeln!(f, "key      {}", or_dash(self.key.as_ref()))?;
        writeln!(f, "headers")?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {}", or_dash(value.as_ref()))?;
        }
        match (&self.value, &self.raw) {
            (Some(value), _) => writeln!(f, "value\n{value:#}"),
            (None, raw) => writeln!(f, "value, which is not JSON\n{}", or_dash(raw.as_ref())),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        Timestamp,
        message::{Header, OwnedHeaders},
    };

    use super::*;

    fn record(headers: &[(&str, &str)], value: &str) -> OwnedMessage {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
        let time = Timestamp::CreateTime(1_767_700_800_000);
        OwnedMessage::new(Some(value.into()), None, "t.dlq".to_owned(), time, 2, 7, Some(headers))
    }

    #[test]
    fn a_record_buried_twice_tells_of_the_second_time() {
        let letter = DeadLetter::read(&record(
            &[
                ("dlq.group", "old"),
                ("dlq.topic", "t"),
                ("dlq.partition", "1"),
                ("dlq.offset", "5"),
                ("dlq.group", "new"),
            ],
            "no json",
        ));
        assert_eq!(letter.group.as_deref(), Some("new"));
        assert_eq!(letter.origin.unwrap().to_string(), "t/1/5");
        assert_eq!(letter.place.to_string(), "t.dlq/2/7");
    }

    #[test]
    fn a_record_of_somebody_else_has_no_origin_and_is_shown_all_the_same() {
        let letter = DeadLetter::read(&record(&[("dlq.topic", "t"), ("dlq.partition", "x")], ""));
        assert!(letter.origin.is_none() && letter.error.is_none());
    }

    #[test]
    fn only_a_record_that_names_another_is_a_marker() {
        let (place, resolution) = marker(&record(&[(RESOLVED, "2/5"), (RESOLUTION, "replayed")], "")).unwrap();
        assert_eq!((place.to_string(), resolution.how), ("t.dlq/2/5".to_owned(), "replayed".to_owned()));
        assert!(marker(&record(&[], "")).is_none());
        assert!(marker(&record(&[(RESOLVED, "five")], "")).is_none());
    }

    #[test]
    fn a_topic_may_be_named_with_its_ending_or_without() {
        assert_eq!(topic_of("a.v1"), "a.v1.dlq");
        assert_eq!(topic_of("a.v1.dlq"), "a.v1.dlq");
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(escape("größe".as_bytes()), "größe");
        assert_eq!(escape(b"\xff\x00a"), "\\xff\\x00a");
    }
}
