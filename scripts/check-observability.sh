#!/usr/bin/env bash
# Has Prometheus scrape a live fleet while the journey is walked, and asks it every expression of every dashboard and alert:
# names and labels are those of the code where each finds series. Takes up to two minutes.
#
# Prometheus comes from Debian's package, into .data/check-deploy, where it is not installed. CAREEROS_FLEET is the launcher
# where it is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(realpath -m "${CAREEROS_DATA:-.data}/check-deploy")
# shellcheck source=scripts/private-fleet.sh
. scripts/private-fleet.sh
# shellcheck source=scripts/checkers.sh
. scripts/checkers.sh

prometheus_pid='' models_pid=''
finish() {
    if [ -n "$prometheus_pid" ]; then kill "$prometheus_pid" 2>/dev/null || true; fi
    if [ -n "$models_pid" ]; then kill "$models_pid" 2>/dev/null || true; fi
    wait "$prometheus_pid" "$models_pid" 2>/dev/null || true
    stop_private_fleet
}
trap finish EXIT

checkers_python
checkers_prometheus prometheus
python=$tools/venv/bin/python
export PYTHONDONTWRITEBYTECODE=1

# A model that answers, so that there are tokens and costs; a store for the rate limit is away, which has to be seen too.
mapfile -t ports < <(free_ports MODELS PROMETHEUS NOBODY)
models=${ports[0]#*=} prometheus=${ports[1]#*=} nobody=${ports[2]#*=}
"$python" deploy/check/models.py "$models" &
models_pid=$!
private_fleet OPENAI_BASE_URL="http://127.0.0.1:$models/v1" REDIS_URL="redis://127.0.0.1:$nobody" THROTTLE_LIMIT=400

"$python" deploy/check/live.py configuration "$url" >"$fleet_root/prometheus.yaml"
prometheus --config.file="$fleet_root/prometheus.yaml" --storage.tsdb.path="$fleet_root/prometheus" \
    --web.listen-address="127.0.0.1:$prometheus" --log.level=error &
prometheus_pid=$!

walk() {
    local secret
    secret=$(sed -n 's/^BILLING_WEBHOOK_SECRETS=//p' "$fleet_data/dev.env")
    BILLING_WEBHOOK_SECRETS=$secret "$fleet_program" demo --gateway "$url" >"$fleet_root/journey.log" 2>&1 || {
        cat "$fleet_root/journey.log" >&2
        exit 1
    }
}
# Counters appear with their first event, and increase with the second.
walk
sleep 3
walk
"$python" deploy/check/live.py ask "$url" "http://127.0.0.1:$prometheus"
