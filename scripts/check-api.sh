#!/usr/bin/env bash
# Sends what the API reference allows, and what it does not, to a live fleet by Schemathesis for a bounded time: no answer
# may be a 5xx, or of a status, media type or shape that the reference does not tell.
#
#   ./scripts/check-api.sh         starts a fleet on free ports with data of its own, and stops it
#   ./scripts/check-api.sh URL     asks a gateway that runs; it should allow many requests, see THROTTLE_LIMIT
#
# SCHEMATHESIS_SECONDS (60) bounds the time, SCHEMATHESIS_SEED (1) is what the requests are made from, CAREEROS_FLEET the
# launcher where it is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
seconds=${SCHEMATHESIS_SECONDS:-60}
seed=${SCHEMATHESIS_SEED:-1}
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/schemathesis")
email=schemathesis@example.com
password='correct horse battery staple'
# shellcheck source=scripts/private-fleet.sh
. scripts/private-fleet.sh
trap stop_private_fleet EXIT

install_tools() {
    ./scripts/setup.sh checks
    if [ "$("$tools/bin/schemathesis" --version 2>/dev/null | awk '{print $NF}')" != "$version" ]; then
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
    fi
}

# POST $1 with e-mail and password; the answer.
account() {
    curl --silent --show-error --fail-with-body "$url/v1/auth/$1" -H 'content-type: application/json' \
        -d "{\"email\":\"$email\",\"password\":\"$password\"}"
}

install_tools
if [ -n "${1:-}" ]; then
    url=${1%/}
    email=schemathesis-$(date +%s)-$$@example.com
    account register >/dev/null
else
    private_fleet THROTTLE_LIMIT=100000000
    account register >/dev/null
    # Who may do everything gets further than to 403.
    CAREEROS_DATA=$fleet_data "$fleet_program" operator "$email" >/dev/null
fi
token=$(account login | python3 -c 'import json, sys; print(json.load(sys.stdin)["tokens"]["accessToken"])')

# Not asked: what would end the session, and what is no JSON API.
status=0
# It leaves what it found where it runs.
cd "$fleet_root"
"$tools/bin/schemathesis" run "$url/v1/openapi.json" --url "$url" --header "Authorization: Bearer $token" \
    --phases examples,coverage,fuzzing --max-time "$seconds" --seed "$seed" --workers 2 --generation-database none \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --exclude-operation-id logout --exclude-tag Operations --request-timeout 35 --suppress-health-check all \
    --warnings off --no-color || status=$?
if [ "$status" != 0 ] && [ -n "$fleet_pid" ]; then
    echo "check-api: the fleet's log:" >&2
    tail -n 50 "$fleet_log" >&2
fi
exit "$status"
