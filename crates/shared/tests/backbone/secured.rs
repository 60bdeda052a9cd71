//! The broker over TLS, with a password: Apache Kafka alone has such a listener.

use std::time::Duration;

use careeros_shared::{
    context::Context,
    outbox::{self, Row},
    testing::{self, TestDb, eventually},
};
use serde_json::Value;

use crate::{Fixture, NO_MIGRATIONS, SERVICE, about, event, tally::Group, topic};

/// The settings with one of them changed, or without it.
fn except(name: &str, value: Option<&str>) -> Vec<(&'static str, String)> {
    let mut settings = testing::secured().to_vec();
    settings.retain(|(setting, _)| *setting != name || value.is_some());
    for (setting, current) in &mut settings {
        if *setting == name {
            value.unwrap_or_default().clone_into(current);
        }
    }
    settings
}

/// What readiness says of the broker.
async fn broker_of(service: &Fixture) -> String {
    let report: Value = service.get("/health/ready").await.json().await.unwrap();
    report["dependencies"]["broker"].as_str().unwrap().to_owned()
}

/// Awaits that readiness says all of `words` of the broker; that it says the password never.
async fn says(settings: &[(&'static str, String)], words: &[&str]) {
    let db = TestDb::new(&NO_MIGRATIONS).await;
    let service = Fixture::start_with(&SERVICE, &db.url, settings, |_, _, _| {}).await;
    eventually(&format!("readiness says {words:?}"), async || {
        let said = broker_of(&service).await;
        let secret = settings.iter().find(|(name, _)| *name == "KAFKA_SASL_PASSWORD");
        assert!(secret.is_none_or(|(_, password)| !said.contains(password)), "{said}");
        words.iter().all(|word| said.contains(word))
    })
    .await;
    // It does not change its mind while nothing changes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let said = broker_of(&service).await;
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    service.stop().await;
}

#[tokio::test]
#[ignore = "needs Apache Kafka: scripts/test-kafka.sh"]
async fn events_are_published_and_consumed_over_tls_with_a_password() {
    let (topic, about) = (topic("secured").await, about());
    let group = Group::new(topic).await;
    let service = group.start_with(&testing::secured()).await;
    eventually("the broker lets the service in", async || broker_of(&service).await == "ok").await;
    let context = Context::internal(testing::start());
    let rows: Vec<Row> =
        (1..=5).map(|number| Row { topic, ..Row::new(&context, about, &event(about, number)).unwrap() }).collect();
    let mut tx = group.db.begin_system().await.unwrap();
    outbox::publish_all(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
    group.applied(1..=5).await;
    service.stop().await;
}

#[tokio::test]
#[ignore = "needs Apache Kafka: scripts/test-kafka.sh"]
async fn a_wrong_password_is_said_to_be_one() {
    let wrong = except("KAFKA_SASL_PASSWORD", Some("of-somebody-else"));
    says(&wrong, &["the broker refuses this service", "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"]).await;
}

#[tokio::test]
#[ignore = "needs Apache Kafka: scripts/test-kafka.sh"]
async fn a_certificate_of_somebody_elses_authority_is_said_to_be_one() {
    // Without a setting, those of this machine are believed, which do not know the broker's.
    let strange = except("KAFKA_SSL_CA_LOCATION", None);
    says(&strange, &["no TLS with the broker", "certificate verify failed", "check KAFKA_SSL_CA_LOCATION"]).await;
}

#[tokio::test]
#[ignore = "needs Apache Kafka: scripts/test-kafka.sh"]
async fn a_listener_that_wants_tls_is_not_talked_to_without() {
    let mut settings = except("KAFKA_SSL_CA_LOCATION", None);
    settings[1].1 = "SASL_PLAINTEXT".to_owned();
    says(&settings, &["the broker does not answer", "KAFKA_SECURITY_PROTOCOL"]).await;
}
