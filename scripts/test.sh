#!/usr/bin/env bash
# Runs the tests with all they need: a private PostgreSQL and a broker on free ports, removed afterwards.
#
#   ./scripts/test.sh                       every test
#   ./scripts/test.sh -p careeros-billing   arguments go to cargo test
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- --workspace

set_up() {
    ./scripts/setup.sh
    # Queries are checked against the committed metadata, so that building needs no database.
    export SQLX_OFFLINE=true
    cargo build --locked -p careeros-fleet
    # What does not compile is said before anything is started.
    cargo test --locked --no-run "$@"
}

set_up "$@"
exec "${CARGO_TARGET_DIR:-target}/debug/careeros-fleet" deps -- cargo test --locked "$@"
