//! `careeros-fleet deps -- <command>` as a process of its own.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::directory;

fn deps(data: &Path, script: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_careeros-fleet"))
        .args(["deps", "--data"])
        .arg(data)
        .args(["--", "sh", "-c", script])
        .output()
        .unwrap()
}

#[test]
fn command_finds_both_servers_and_its_status_is_passed_on() {
    let directory = directory();
    let output = deps(directory.path(), "echo $TEST_DATABASE_URL $TEST_KAFKA_BROKERS; exit 3");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let (database, brokers) = said.trim().split_once(' ').unwrap();
    assert!(database.starts_with("postgres://postgres:"), "{database}");
    assert!(brokers.starts_with("127.0.0.1:"), "{brokers}");
    assert!(!directory.path().join("postgres/postmaster.pid").exists(), "PostgreSQL still runs");
}

#[test]
fn command_that_does_not_exist_is_reported_and_nothing_is_left_running() {
    let directory = directory();
    let output = Command::new(env!("CARGO_BIN_EXE_careeros-fleet"))
        .args(["deps", "--data"])
        .arg(directory.path())
        .args(["--", "no-such-command"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot run no-such-command"), "{said}");
    assert!(!directory.path().join("postgres/postmaster.pid").exists(), "PostgreSQL still runs");
}
