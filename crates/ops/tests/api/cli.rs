//! The program: output, messages, exit status.

use std::{
    path::Path,
    process::{Command, Output},
};

use careeros_shared::{
    events::{AiFlowExecuted, Event},
    testing::TestDb,
};

use crate::Bench;

fn ops(arguments: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_careeros-ops"));
    command.args(arguments.split_whitespace()).env_clear();
    command.envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_wrong_environment_is_named_with_status_2() {
    let output = ops("lag", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("KAFKA_BROKERS is required") && output.stdout.is_empty());

    let output = ops("outbox status lms auth", &[("LMS_DATABASE_URL", "postgres://h/d")]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("AUTH_DATABASE_URL") && !message.contains("LMS_"), "{message}");

    let output = ops("rebuild billing-usage-v1", &[("KAFKA_BROKERS", "localhost:1")]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("BILLING_MIGRATION_DATABASE_URL") && message.contains("owner"), "{message}");

    let output = ops("lag --env-file does/not/exist", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("does/not/exist"));
    assert_eq!(ops("dlq discard t 0 0", &[]).status.code(), Some(2));
}

#[test]
fn a_broker_that_is_away_is_a_failure_that_says_so() {
    let output = ops("dlq list", &[("KAFKA_BROKERS", "127.0.0.1:1")]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("127.0.0.1:1 does not answer"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_a_table_or_json_and_settings_come_from_a_file() {
    let bench = Bench::start().await;
    let db = TestDb::new(&careeros_billing::MIGRATIONS).await;
    bench.send(AiFlowExecuted::TOPIC, "somebody", "{ not json").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dev.env");
    let lines = format!("# a fleet\nKAFKA_BROKERS={}\nBILLING_DATABASE_URL={}\n", bench.brokers, db.url);
    std::fs::write(&file, lines).unwrap();
    let with_file = |arguments: &'static str, file: &Path| {
        // The file wins.
        let output = ops(&format!("{arguments} --env-file {}", file.display()), &[("KAFKA_BROKERS", "127.0.0.1:1")]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let table = with_file("lag --behind", &file);
    assert!(table.starts_with("group") && table.contains("billing-usage-v1"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&with_file("lag --json", &file)).unwrap();
    assert_eq!(json["totals"]["billing-usage-v1"], 1);
    let json: serde_json::Value = serde_json::from_str(&with_file("outbox status billing --json", &file)).unwrap();
    assert_eq!((&json[0]["service"], &json[0]["waiting"]), (&"billing".into(), &0.into()));
    assert_eq!(with_file("dlq list", &file), "No dead letters.\n");
}
