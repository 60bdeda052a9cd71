#!/usr/bin/env bash
# Runs the tests with all they need: a private PostgreSQL and a broker on free ports, removed afterwards.
#
#   ./scripts/test.sh                       every test
#   ./scripts/test.sh -p careeros-billing   arguments go to cargo test
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/setup.sh tests
# Queries are checked against the committed metadata, so that building needs no database.
export SQLX_OFFLINE=true

if [ $# -gt 0 ]; then
    # The end-to-end tests run the services' own binaries.
    cargo build --locked --workspace --bins
else
    # This selection also builds the binary of every crate that has tests beside it, which are all.
    set -- --workspace --all-features
fi
# What does not compile is said before anything is started.
cargo test --locked --no-run "$@"
exec "${CARGO_TARGET_DIR:-target}/debug/careeros-fleet" deps -- cargo test --locked "$@"
