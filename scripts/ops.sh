#!/usr/bin/env bash
# Runs the operators' tool against the local fleet that ./scripts/dev.sh has started.
#
#   ./scripts/ops.sh --help
#   ./scripts/ops.sh dlq list
#   ./scripts/ops.sh rebuild analytics-global-v1 --dry-run
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --locked -p careeros-ops
exec "${CARGO_TARGET_DIR:-target}/debug/careeros-ops" --env-file "${CAREEROS_DATA:-.data}/dev.env" "$@"
