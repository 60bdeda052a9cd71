//! Poison: what cannot be applied goes to the dead-letter topic, once, as it was and with its origin and error, and blocks
//! nobody.

use std::{collections::HashMap, time::Duration};

use careeros_shared::{
    events::{AiFlowExecuted, Envelope, Event, LessonCompleted, RoadmapCreated, SubscriptionActivated, UserRegistered},
    outbox::About,
    testing,
};
use rdkafka::{
    Message,
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::{
    about, client, read_until, records_on,
    tally::{FAILS, Group, PANICS, value},
    topic,
};

/// A record that cannot be applied, named by what is wrong with it.
struct Poison {
    name: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// With a key of its own.
fn poison(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Poison {
    Poison { name: name.into(), key: Some(testing::id().into_bytes().to_vec()), value: Some(value.into()) }
}

fn malformed() -> Vec<Poison> {
    let keyless = Poison { name: "neither key nor value".into(), key: None, value: None };
    let tombstone = Poison { value: None, ..poison("no value", "") };
    let values: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("half an object", b"{\"event_id\":"),
        ("no JSON", b"{ not json"),
        ("no UTF-8", b"\xff\xfe{}"),
        ("null", b"null"),
        ("an array", b"[]"),
        ("a text", b"\"event\""),
    ];
    let values = values.into_iter().map(|(name, value)| poison(name, value));
    values.chain([keyless, tombstone]).collect()
}

/// A valid envelope with one thing wrong.
fn invalid_envelopes(about: About) -> Vec<Poison> {
    let valid: Value = serde_json::from_str(&value(about, 1)).unwrap();
    let mut all = Vec::new();
    for field in ["event_id", "event_type", "event_version", "occurred_at", "source", "tenant_id", "payload"] {
        let mut without = valid.clone();
        without.as_object_mut().unwrap().remove(field);
        all.push(poison(format!("without {field}"), without.to_string()));
    }
    for (field, wrong) in [
        ("event_id", json!("seven")),
        ("event_type", json!(7)),
        ("event_version", json!(0)),
        ("event_version", json!("1")),
        ("occurred_at", json!("yesterday")),
        ("occurred_at", json!(1_767_700_800)),
        ("source", json!(null)),
        ("tenant_id", json!(7)),
        ("user_id", json!({})),
        ("payload", json!([])),
        ("payload", json!("{}")),
        ("extra", json!(1)),
    ] {
        let mut envelope = valid.clone();
        envelope[field] = wrong.clone();
        all.push(poison(format!("{field} is {wrong}"), envelope.to_string()));
    }
    all
}

/// For each closed type a payload with a field too many, one too few, and one of another type.
fn invalid_payloads(about: About) -> Vec<Poison> {
    let (id, at) = (about.user_id.unwrap(), testing::start());
    let registered = UserRegistered { user_id: id, email: String::new(), registered_at: at, default_role: None };
    let flow = AiFlowExecuted {
        execution_id: id,
        flow_name: "f".into(),
        flow_version: "v1".into(),
        status: "SUCCESS".into(),
        latency_ms: 1,
        prompt_tokens: None,
        completion_tokens: None,
        total_cost_usd: Decimal::ZERO,
    };
    let created = RoadmapCreated { roadmap_id: id, user_id: id, goal_key: "g".into(), version: 1 };
    let lesson = LessonCompleted { lesson_id: id, course_id: id, user_id: id, completed_at: at, time_spent_minutes: 1 };
    let activated = SubscriptionActivated {
        subscription_id: id,
        user_id: None,
        organization_id: None,
        plan_code: "P".into(),
        activated_at: at,
        status: "ACTIVE".into(),
    };
    [
        spoil(about, &registered, "registered_at"),
        spoil(about, &flow, "latency_ms"),
        spoil(about, &created, "version"),
        spoil(about, &lesson, "time_spent_minutes"),
        spoil(about, &activated, "plan_code"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn spoil<E: Event>(about: About, event: &E, field: &str) -> [Poison; 3] {
    let with = |name: &str, change: fn(&mut serde_json::Map<String, Value>, &str)| {
        let mut envelope: Envelope = testing::envelope(about.tenant_id, about.user_id, testing::start(), event);
        change(envelope.payload.as_object_mut().unwrap(), field);
        poison(format!("{} {name} {field}", E::TYPE), serde_json::to_string(&envelope).unwrap())
    };
    [
        with("beside", |payload, _| drop(payload.insert("extra".into(), json!(1)))),
        with("without", |payload, field| drop(payload.remove(field))),
        with("mistyped", |payload, field| drop(payload.insert(field.into(), json!({})))),
    ]
}

/// The name of a record, which is one of its own headers.
fn name_of(message: &OwnedMessage) -> String {
    header(message, "name")
}

fn header(message: &OwnedMessage, name: &str) -> String {
    let mut of = message.headers().unwrap().iter().filter(|header| header.key == name);
    let value = of.next().and_then(|header| header.value).unwrap_or_else(|| panic!("no {name} in {message:?}"));
    assert!(of.next().is_none(), "{name} twice in {message:?}");
    String::from_utf8(value.to_vec()).unwrap()
}

/// Sends `poison`; where it is then: partition and offset.
async fn send(producer: &FutureProducer, topic: &str, poison: &Poison) -> (i32, i64) {
    let headers = OwnedHeaders::new()
        .insert(Header { key: "name", value: Some(&poison.name) })
        .insert(Header { key: "traceparent", value: Some(b"\x00\xff") });
    let record = FutureRecord::<[u8], [u8]> {
        topic,
        partition: Some(0),
        key: poison.key.as_deref(),
        payload: poison.value.as_deref(),
        timestamp: None,
        headers: Some(headers),
    };
    let delivery = producer.send(record, Duration::from_secs(10)).await.unwrap();
    (delivery.partition, delivery.offset)
}

async fn send_good(producer: &FutureProducer, topic: &str, about: About, number: usize) {
    let (key, value) = (format!("key-{number}"), value(about, number));
    let record = FutureRecord::to(topic).partition(0).key(&key).payload(&value);
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn each_poison_is_dead_once_and_as_it_was_while_other_keys_flow() {
    let (topic, about) = (topic("poison").await, about());
    let group = Group::new(topic).await;
    let mut all = malformed();
    all.extend(invalid_envelopes(about));
    all.extend(invalid_payloads(about));
    all.push(poison("the handler fails", value(about, FAILS)));
    all.push(poison("the handler panics", value(about, PANICS)));
    // Good records behind each, on the same partition.
    let good = |index: usize| 100 + index;
    let producer: FutureProducer = client().set("linger.ms", "0").create().unwrap();
    let service = group.start().await;
    let mut sent = HashMap::new();
    for (index, poison) in all.iter().enumerate() {
        sent.insert(poison.name.clone(), send(&producer, topic, poison).await);
        send_good(&producer, topic, about, good(index)).await;
    }
    group.applied((0..all.len()).map(good)).await;

    let dlq = format!("{topic}.dlq");
    let dead = read_until(&dlq, |dead| dead.len() >= all.len()).await;
    service.stop().await;
    assert_eq!(records_on(&dlq), all.len(), "each is dead once");
    let dead: HashMap<String, &OwnedMessage> = dead.iter().map(|message| (name_of(message), message)).collect();
    for poison in &all {
        let message = dead.get(&poison.name).unwrap_or_else(|| panic!("{} is not dead", poison.name));
        assert_eq!(message.key(), poison.key.as_deref(), "{}", poison.name);
        assert_eq!(message.payload(), poison.value.as_deref(), "{}", poison.name);
        let own = message.headers().unwrap().iter().find(|header| header.key == "traceparent").unwrap();
        assert_eq!(own.value, Some(b"\x00\xff".as_slice()), "{}", poison.name);
        assert_eq!((header(message, "dlq.topic"), header(message, "dlq.group")), (topic.into(), group.name.into()));
        let origin =
            (header(message, "dlq.partition").parse().unwrap(), header(message, "dlq.offset").parse().unwrap());
        assert_eq!(origin, sent[&poison.name], "{}", poison.name);
        assert!(!header(message, "dlq.error").is_empty(), "{}", poison.name);
    }
    let error = |name: &str| header(dead[name], "dlq.error");
    assert!(error("without source").contains("source"), "{}", error("without source"));
    assert!(error("the handler fails").contains("thirteen"), "{}", error("the handler fails"));
    assert!(error("the handler panics").contains("panicked"), "{}", error("the handler panics"));
    let beside = error("LessonCompleted beside time_spent_minutes");
    assert!(beside.contains("LessonCompleted") && beside.contains("extra"), "{beside}");
}

#[tokio::test]
async fn a_batch_does_not_wait_for_the_poison_in_its_middle() {
    let (topic, about) = (topic("batch").await, about());
    let group = Group::new(topic).await;
    let producer: FutureProducer = client().create().unwrap();
    let good: Vec<usize> = (1000..1500).collect();
    for (index, number) in good.iter().enumerate() {
        if index == 250 {
            send(&producer, topic, &poison("the handler fails", value(about, FAILS))).await;
        }
        let (key, value) = (format!("key-{number}"), value(about, *number));
        let record = FutureRecord::to(topic).partition(0).key(&key).payload(&value);
        drop(producer.send_result(record).map_err(|(error, _)| error).unwrap());
    }
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(10)).unwrap();
    let service = group.start().await;
    group.applied(good.iter().copied()).await;
    let dlq = format!("{topic}.dlq");
    read_until(&dlq, |dead| !dead.is_empty()).await;
    service.stop().await;
    assert_eq!(records_on(&dlq), 1);
    assert_eq!(group.applied_before_failure(), 500, "all others are applied before the poison is given up");
}

#[tokio::test]
async fn a_batch_of_nothing_but_poison_is_buried_soon() {
    let (topic, about) = (topic("all-poison").await, about());
    let group = Group::new(topic).await;
    let producer: FutureProducer = client().create().unwrap();
    let sent: Vec<_> = (0..200).map(|_| value(about, FAILS)).collect();
    for value in &sent {
        let record = FutureRecord::<[u8], str>::to(topic).partition(0).payload(value);
        drop(producer.send_result(record).map_err(|(error, _)| error).unwrap());
    }
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(10)).unwrap();
    send_good(&producer, topic, about, 1).await;
    let service = group.start().await;
    group.applied([1]).await;
    let dlq = format!("{topic}.dlq");
    // Within the 30 s that reading takes at the most, where pauses for each of them would take more than a minute.
    read_until(&dlq, |dead| dead.len() >= sent.len()).await;
    service.stop().await;
    assert_eq!(records_on(&dlq), sent.len());
}

#[tokio::test]
async fn each_group_buries_for_itself() {
    let topic = topic("groups").await;
    let (one, other) = (Group::new(topic).await, Group::new(topic).await);
    let services = [one.start().await, other.start().await];
    let producer: FutureProducer = client().create().unwrap();
    send(&producer, topic, &poison("no JSON", "{")).await;
    let dlq = format!("{topic}.dlq");
    let dead = read_until(&dlq, |dead| dead.len() >= 2).await;
    let mut groups: Vec<_> = dead.iter().map(|message| header(message, "dlq.group")).collect();
    groups.sort_unstable();
    let mut expected = [one.name, other.name];
    expected.sort_unstable();
    assert_eq!(groups, expected);
    for service in services {
        service.stop().await;
    }
}
