#!/usr/bin/env bash
# Installs what building and running CareerOS needs and this machine lacks. Says nothing when nothing is missing.
#
#   ./scripts/setup.sh         for building and running
#   ./scripts/setup.sh tests   for the tests too: a Redis server
#   ./scripts/setup.sh bench   for measuring too: the load generator wrk
#   ./scripts/setup.sh checks  for scripts/check-*.sh: Python 3 with venv and curl; nothing of the above
#   ./scripts/setup.sh deploy  for scripts/check-deploy.sh: compose too
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

oldest_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
oldest_postgres=15
purpose=${1:-}

check_rust() {
    have cargo || fail "Rust is missing: run  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh  and then this again"
    # rustup installs the version that rust-toolchain.toml names; another installation has the one it has.
    local version
    version=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$oldest_rust" "$version" | sort -V | head -n1)" = "$oldest_rust" ] ||
        fail "Rust $version is too old: install $oldest_rust or newer, best by https://rustup.rs"
}

# The newest PostgreSQL server installed, as a major version; empty when there is none.
postgres_version() {
    local directories=() directory
    IFS=: read -ra directories <<<"$PATH"
    directories+=(/usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin)
    directories+=(/opt/homebrew/bin /usr/local/bin)
    for directory in "${directories[@]}"; do
        if [ -x "$directory/initdb" ] && [ -x "$directory/postgres" ]; then
            "$directory/postgres" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/'
        fi
    done | sort -n | tail -n1
}

# Whether CareerOS is to be built, and not only checked.
building() { [ "$purpose" != checks ] && [ "$purpose" != deploy ]; }

# Compose of either generation.
have_compose() { docker compose version >/dev/null 2>&1 || have docker-compose; }

# What librdkafka speaks TLS by. Homebrew's is where pkg-config does not look, but where the build does.
have_openssl() {
    if [ -d /opt/homebrew/opt/openssl@3 ] || [ -d /usr/local/opt/openssl@3 ]; then return 0; fi
    have pkg-config && pkg-config --atleast-version=1.1.1 openssl
}

# What is missing, as the words of this script.
missing() {
    if ! building; then
        # Debian's Python has venv without ensurepip, and so without pip.
        python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || echo python3-venv
        have curl || echo curl
        [ "$purpose" != deploy ] || have_compose || echo docker-compose
        return
    fi
    have cc || echo compiler
    have c++ || echo c++
    have make || echo make
    have perl || echo perl
    have pkg-config || echo pkg-config
    if ! have cc || ! echo '#include <zlib.h>' | cc -E - >/dev/null 2>&1; then echo zlib; fi
    have_openssl || echo openssl
    [ -n "$(postgres_version)" ] || echo postgresql
    if [ "$purpose" = tests ] && ! have redis-server; then echo redis-server; fi
    if [ "$purpose" = bench ] && ! have wrk; then echo wrk; fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The run level keeps servers that come along from being started.
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install $*"
}

install_with_apt() {
    local word packages=()
    for word in "$@"; do
        case $word in
            compiler) packages+=(gcc libc6-dev) ;;
            c++) packages+=(g++) ;;
            zlib) packages+=(zlib1g-dev) ;;
            python3-venv) packages+=(python3 python3-venv) ;;
            openssl) packages+=(libssl-dev) ;;
            *) packages+=("$word") ;;
        esac
    done
    [ "$(id -u)" = 0 ] || have sudo ||
        fail "missing: $*; there is no sudo here: as root run  apt-get install ${packages[*]}  and then this again"
    echo "Installing with apt-get: ${packages[*]}"
    as_root apt-get update -qq || fail "apt-get update failed: check this machine's network and package sources"
    if [[ " $* " == *" postgresql "* ]]; then
        # Only the programs are wanted, not a server of the system's own.
        apt_install postgresql-common
        as_root sed -i 's/^#\? *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    fi
    apt_install "${packages[@]}"
}

install() {
    case "$(uname -s)" in
        Darwin)
            have cc || fail "a C compiler is missing: run  xcode-select --install"
            building || fail "missing: $*; run  brew install python docker-compose  and then this again"
            fail "missing: $*; run  brew install postgresql@17 redis wrk pkgconf openssl@3  and then this again"
            ;;
        *)
            have apt-get || fail "missing: $*; install them by this system's package manager (PostgreSQL's server, for the tests Redis, for measuring wrk, a C and C++ compiler, make, perl, pkg-config, the headers of zlib and OpenSSL)"
            install_with_apt "$@"
            ;;
    esac
}

! building || check_rust
words=$(missing)
if [ -n "$words" ]; then
    # shellcheck disable=SC2086 # one argument per word
    install $words
    words=$(missing)
    [ -z "$words" ] || fail "still missing after the installation:" $words
fi
! building || [ "$(postgres_version)" -ge "$oldest_postgres" ] ||
    fail "PostgreSQL $(postgres_version) is too old: install $oldest_postgres or newer, see https://www.postgresql.org/download"
