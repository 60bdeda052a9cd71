#!/usr/bin/env bash
# Writes docs/openapi.json, the committed copy of the API reference, from the code.
# What breaks clients is listed and not written, unless --accept-breaking says that it has to be.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  "") export OPENAPI=write ;;
  --accept-breaking) export OPENAPI=accept-breaking ;;
  *) echo "usage: $0 [--accept-breaking]" >&2; exit 2 ;;
esac
cargo test --quiet -p careeros-gateway --test api reference::the_committed_copy
git --no-pager diff --stat -- docs/openapi.json
