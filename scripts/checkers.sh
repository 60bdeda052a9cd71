# shellcheck shell=bash
# Sourced by check-deploy.sh and check-observability.sh, which work by set -e: installs the programs that check, into the
# directory that they name in $tools.

# shellcheck disable=SC2154 # set by whoever sources this
mkdir -p "$tools/bin"
PATH="$tools/bin:$PATH"
export PATH

# Python's packages, in $tools/venv.
checkers_python() {
    if ! cmp --silent deploy/check/requirements.txt "$tools/requirements.txt"; then
        python3 -m venv "$tools/venv"
        "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --requirement deploy/check/requirements.txt
        cp deploy/check/requirements.txt "$tools/requirements.txt"
    fi
}

# The program $1 of Prometheus: prometheus or promtool.
checkers_prometheus() {
    local as_root=()
    if command -v "$1" >/dev/null; then return; fi
    command -v apt-get >/dev/null || { echo "install $1, which comes with Prometheus" >&2; exit 1; }
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    # Only the program is wanted, not a server of the system's own.
    (
        cd "$tools" || exit
        apt-get download -qq prometheus 2>/dev/null || { "${as_root[@]}" apt-get update -qq && apt-get download -qq prometheus; }
        dpkg --fsys-tarfile prometheus_*.deb | tar --extract --strip-components=3 --directory bin "./usr/bin/$1"
        rm prometheus_*.deb
    )
}
