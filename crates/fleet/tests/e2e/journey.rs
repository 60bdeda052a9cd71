//! The journey over REST leaves exactly the contract's traces on the broker.

use std::collections::BTreeSet;

use careeros_fleet::journey::Traces;
use careeros_shared::events::{Envelope, TOPICS};
use rdkafka::{Message as _, message::OwnedMessage};

use crate::{
    contract::{Caused, GROUPS, ROWS, Row},
    events::{Bus, header},
    support,
};

fn key(record: &OwnedMessage) -> &str {
    std::str::from_utf8(record.key().unwrap()).unwrap()
}

/// Whether the journey's own record is among those of the row's topic.
fn is_there(row: &Row, traces: &Traces, records: &[OwnedMessage]) -> bool {
    let mut records = records.iter().filter(|record| record.topic() == row.topic);
    match row.caused {
        Caused::No => true,
        Caused::Key(expected) => records.any(|record| key(record) == expected(traces)),
        Caused::User(user) => records.any(|record| {
            let envelope = Envelope::parse(record.payload().unwrap()).unwrap();
            envelope.user_id.as_deref() == Some(user(traces))
        }),
    }
}

fn check(row: &Row, record: &OwnedMessage) {
    let value: serde_json::Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
    let envelope = Envelope::parse(record.payload().unwrap()).unwrap();
    (row.read)(&envelope).unwrap();
    assert_eq!(envelope.event_type, row.event_type);
    assert_eq!((envelope.event_version, envelope.source.as_str()), (1, row.source));
    envelope.tenant().unwrap();
    let expected = value.pointer(row.key).and_then(serde_json::Value::as_str);
    assert_eq!(Some(key(record)), expected, "the key of {value}");
    assert_eq!(header(record, "event_type"), Some(row.event_type), "{value}");
    assert_eq!(header(record, "event_version"), Some("1"), "{value}");
    assert_eq!(header(record, "correlation_id"), envelope.correlation_id.as_deref(), "{value}");
    let trace = header(record, "traceparent").unwrap_or_default();
    let parts: Vec<_> = trace.split('-').map(str::len).collect();
    let is_hex = trace.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    assert!(parts == [2, 32, 16, 2] && is_hex, "traceparent {trace:?} of {value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_the_journey_is_on_its_topic_as_the_contract_says() {
    let _machine = support::alone().await;
    let directory = support::directory();
    let fleet = support::start(&directory, &[]).await;
    let traces = std::sync::Arc::new(support::client(&fleet).walk().await.unwrap());
    let bus = Bus::new(&fleet.stores.brokers);

    let walked = std::sync::Arc::clone(&traces);
    let records = bus
        .read_until(move |records| {
            let missing = ROWS.iter().filter(|row| !is_there(row, &walked, records));
            let missing: Vec<_> = missing.map(|row| row.event_type).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
        })
        .await;
    for record in &records {
        check(ROWS.iter().find(|row| row.topic == record.topic()).unwrap(), record);
    }

    for (group, topics) in GROUPS {
        bus.caught_up(group, topics).await;
    }
    let poison: Vec<_> = bus.topics().into_iter().filter(|topic| topic.contains(".dlq")).collect();
    assert!(poison.is_empty(), "records were refused: {poison:?}");
    fleet.stop().await.unwrap();
}

#[test]
fn the_code_knows_the_topics_of_the_contract_and_no_others() {
    let contract: BTreeSet<_> = ROWS.iter().map(|row| row.topic).collect();
    assert_eq!(contract, TOPICS.into_iter().collect());
}
