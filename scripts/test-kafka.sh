#!/usr/bin/env bash
# Runs the event tests against Apache Kafka in place of the embedded broker: outbox, relay, consumers and dead letters,
# TLS and passwords, the broker as a process that is killed, and the whole fleet under fire.
#
#   ./scripts/test-kafka.sh
#   CAREEROS_FIRE_SECONDS=600 ./scripts/test-kafka.sh    the fleet is under fire for longer
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/setup.sh
./scripts/kafka.sh
# Queries are checked against the committed metadata, so that building needs no database.
export SQLX_OFFLINE=true
# Tests that start a broker of their own start this one.
export CAREEROS_TEST_BROKER=apache

# The end-to-end tests run the services' own binaries.
cargo build --locked --workspace --bins

with_kafka() { "${CARGO_TARGET_DIR:-target}/debug/careeros-fleet" deps --broker apache -- "$@"; }

with_kafka cargo test --locked -p careeros-shared --all-features --test backbone -- --include-ignored
with_kafka cargo test --locked -p careeros-edu-tracker -p careeros-analytics --test api broker
cargo test --locked -p careeros-fleet --test deps broker_process
cargo test --locked -p careeros-fleet --test e2e fire
