#!/usr/bin/env bash
# Runs all of CareerOS on this machine without Docker.
#
#   ./scripts/dev.sh                    install what is missing, build, start everything; Ctrl-C stops it
#   ./scripts/dev.sh --demo             walk the journey against the running fleet, in a second terminal
#   ./scripts/dev.sh --operator EMAIL   make a registered user an OPERATOR of the running fleet
set -euo pipefail
cd "$(dirname "$0")/.."

build() {
    echo "Building (the first time takes some minutes)"
    cargo build --locked -p careeros-fleet
}
fleet() { exec "${CARGO_TARGET_DIR:-target}/debug/careeros-fleet" "$@"; }

case "${1:-}" in
    "")
        ./scripts/setup.sh
        build
        fleet up
        ;;
    --demo)
        build
        fleet demo
        ;;
    --operator)
        if [ -z "${2:-}" ]; then
            echo "dev: name the user: ./scripts/dev.sh --operator ada@example.com" >&2
            exit 2
        fi
        build
        fleet operator "$2"
        ;;
    *)
        sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
