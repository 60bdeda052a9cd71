#!/usr/bin/env bash
# Walks the main journey against the fleet that runs in compose, with the webhook secret of .env.
#
#   ./scripts/journey.sh [GATEWAY]     http://localhost:8080
#
# CAREEROS_BIN is the directory of careeros-fleet; without it cargo builds it.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${BILLING_WEBHOOK_SECRETS:-}" ]; then
    [ -e .env ] || { echo "journey: set BILLING_WEBHOOK_SECRETS, or start compose here" >&2; exit 2; }
    BILLING_WEBHOOK_SECRETS=$(sed -n 's/^BILLING_WEBHOOK_SECRETS=//p' .env)
    export BILLING_WEBHOOK_SECRETS
fi
if [ -z "${CAREEROS_BIN:-}" ]; then
    cargo build --locked -p careeros-fleet
    CAREEROS_BIN=${CARGO_TARGET_DIR:-target}/debug
fi
exec "$CAREEROS_BIN/careeros-fleet" demo --gateway "${1:-http://localhost:8080}"
