#!/usr/bin/env bash
# Measures this machine: release binaries of the nine services on a private PostgreSQL and the embedded broker.
#
#   ./scripts/bench.sh                            start, paths, ai and events
#   ./scripts/bench.sh paths                      one subject; --help lists them
#   ./scripts/bench.sh scale                      how the cost grows up to 1,000,000 users: some ten minutes, 25 GB of disk
#   ./scripts/bench.sh --json now.json            and writes what it prints as JSON
#   ./scripts/bench.sh --compare before.json      and shows the change against an earlier run
#   ./scripts/bench.sh paths --help               what else there is
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/setup.sh bench
# Queries are checked against the committed metadata, so that building needs no database.
export SQLX_OFFLINE=true
cargo build --release --locked -p careeros -p careeros-bench
exec "${CARGO_TARGET_DIR:-target}/release/careeros-bench" "$@"
