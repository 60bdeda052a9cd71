# shellcheck shell=bash
# Sourced by check-api.sh and check-observability.sh: a fleet on free ports with data of its own, for as long as the script
# runs. CAREEROS_FLEET is the launcher where it is built already.
#
#   private_fleet [VARIABLE=VALUE…]   starts it with these variables; sets url, fleet_program, fleet_data and fleet_log
#   stop_private_fleet                stops it and removes what it left; to be called at the end, whatever happened

fleet_root=$(mktemp -d)
# PostgreSQL runs as a user of its own, who has to get there.
chmod 711 "$fleet_root"
fleet_data=$fleet_root/data
fleet_log=$fleet_root/fleet.log
fleet_pid=

# Names with ports that are free now, as assignments.
free_ports() {
    python3 - "$@" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in sys.argv[1:]]
for name, each in zip(sys.argv[1:], sockets):
    each.bind(("127.0.0.1", 0))
    print(f"{name}={each.getsockname()[1]}")
PYTHON
}

private_fleet() {
    local areas=(AUTH USER_PROFILE AI_CORE ROADMAP LMS EDU_TRACKER BILLING ANALYTICS) area names ports
    names=(GATEWAY_HTTP_PORT CAREEROS_POSTGRES_PORT CAREEROS_BROKER_PORT)
    for area in "${areas[@]}"; do names+=("${area}_HTTP_PORT" "${area}_GRPC_PORT"); done
    fleet_program=${CAREEROS_FLEET:-}
    if [ -z "$fleet_program" ]; then
        cargo build --locked --quiet -p careeros-fleet
        fleet_program=$(realpath "${CARGO_TARGET_DIR:-target}/debug/careeros-fleet")
    fi
    mapfile -t ports < <(free_ports "${names[@]}")
    env "${ports[@]}" CAREEROS_DATA="$fleet_data" LOG_LEVEL=warn "$@" "$fleet_program" up >"$fleet_log" 2>&1 &
    fleet_pid=$!
    # shellcheck disable=SC2034 # for whoever sources this
    url=http://127.0.0.1:${ports[0]#*=}
    for _ in $(seq 240); do
        # It is written when all are ready.
        if [ -f "$fleet_data/dev.env" ]; then return; fi
        kill -0 "$fleet_pid" 2>/dev/null || break
        sleep 0.5
    done
    cat "$fleet_log" >&2
    echo "the fleet did not start" >&2
    exit 1
}

stop_private_fleet() {
    if [ -n "$fleet_pid" ]; then
        kill "$fleet_pid" 2>/dev/null || true
        wait "$fleet_pid" || true
    fi
    rm -rf "$fleet_root"
}
