//! Everything that is on the contract's topics, each event once.

use std::collections::BTreeMap;

use careeros_shared::{
    dead_letter::SUFFIX,
    events::{Envelope, Event, TOPICS},
};
use rdkafka::{Message as _, message::OwnedMessage};
use uuid::Uuid;

use crate::{events::Bus, processes::Processes};

/// The events by topic, each with its record's key; of one partition in the order of their first records.
pub(super) struct Topics {
    events: BTreeMap<String, Vec<Envelope>>,
    /// Records with an event that was there before.
    pub(super) repeated: usize,
}

impl Topics {
    /// Reads all of them.
    pub(super) async fn read(processes: &Processes) -> Self {
        let bus = Bus::new(processes.brokers());
        let dead: Vec<_> = bus.topics().into_iter().filter(|topic| topic.ends_with(SUFFIX)).collect();
        assert!(dead.is_empty(), "records were refused: {dead:?}");
        let records = tokio::task::spawn_blocking(move || bus.read(&TOPICS)).await.unwrap();
        Self::new(&records)
    }

    fn new(records: &[OwnedMessage]) -> Self {
        let mut seen: BTreeMap<Uuid, &OwnedMessage> = BTreeMap::new();
        let mut events: BTreeMap<String, Vec<Envelope>> = BTreeMap::new();
        let mut repeated = 0;
        for record in records {
            let envelope = Envelope::parse(record.payload().unwrap()).unwrap();
            if let Some(first) = seen.insert(envelope.event_id, record) {
                let place = |record: &OwnedMessage| (record.topic().to_owned(), record.partition());
                assert_eq!(
                    (place(first), first.payload()),
                    (place(record), record.payload()),
                    "two events share an id"
                );
                repeated += 1;
                continue;
            }
            events.entry(record.topic().to_owned()).or_default().push(envelope);
        }
        Self { events, repeated }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.events.values().map(Vec::len).sum()
    }

    /// The events of one type.
    pub(super) fn of<E: Event>(&self) -> impl Iterator<Item = (&Envelope, E)> {
        let envelopes = self.events.get(E::TOPIC).map_or(&[][..], Vec::as_slice);
        envelopes.iter().map(|envelope| (envelope, envelope.payload().unwrap()))
    }

    /// The ids of the events of one type.
    pub(super) fn ids<E: Event>(&self) -> impl Iterator<Item = String> {
        self.of::<E>().map(|(envelope, _)| envelope.event_id.to_string())
    }
}

/// The user whom an event is about.
pub(super) fn user(envelope: &Envelope) -> String {
    envelope.user_id.clone().unwrap()
}
