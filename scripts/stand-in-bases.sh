#!/usr/bin/env bash
# Makes stand-ins for the images that Dockerfiles and docker-compose.yml take from registries, under the same names, for tests
# on a machine that reaches no registry. They are made of Debian's packages, Kafka's jars and the installed Rust: similar in
# what CareerOS uses of them, and in nothing else. Run as root, with a Docker daemon.
#
#   ./scripts/stand-in-bases.sh                      all
#   ./scripts/stand-in-bases.sh rust valkey          these: rust, postgres, kafka, valkey
#   STAND_IN_ROOTS_ONLY=1 ./scripts/stand-in-bases.sh   their files only, in .data/stand-in, without Docker
set -euo pipefail
cd "$(dirname "$0")/.."

data="$PWD/${CAREEROS_DATA:-.data}/stand-in"
files="$PWD/deploy/stand-in"
mkdir -p "$data/packages"

fail() { echo "stand-in-bases: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "debootstrap wants root"
command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap >/dev/null; }
[ -n "${STAND_IN_ROOTS_ONLY:-}" ] || docker version >/dev/null 2>&1 || fail "no Docker daemon answers"

# The name as the files of this repository have it, so that a stand-in cannot have another version's.
name_of() { grep -ohE "(^FROM |image: )$1[^ ]*" Dockerfiles/auth.Dockerfile docker-compose.yml | head -n1 | sed 's/^.* //'; }

root() { # name suite packages: a Debian with these
    [ "$(cat "$data/$1/.made" 2>/dev/null)" != "$2 $3" ] || return 0
    echo "stand-in-bases: Debian $2 for $1" >&2
    rm -rf "${data:?}/$1"
    debootstrap --variant=minbase --cache-dir="$data/packages" --include="$3" "$2" "$data/$1" >"$data/$1.log" ||
        fail "debootstrap failed; see $data/$1.log"
    rm -rf "$data/$1"/var/cache/apt/archives/*.deb "$data/$1"/var/lib/apt/lists/*
    echo "$2 $3" >"$data/$1/.made"
}

import() { # name image instruction…
    local name=$1 image=$2
    shift 2
    [ -n "$image" ] || fail "nothing here uses $name"
    [ -z "${STAND_IN_ROOTS_ONLY:-}" ] || return 0
    tar --create --directory "$data/$name" --exclude=./proc --exclude=./sys --exclude=./.made . | docker import - "$image" >/dev/null
    # import takes some of a Dockerfile's instructions only, and none for the signal to stop.
    printf '%s\n' "FROM $image" "$@" | docker build --quiet --tag "$image" - >/dev/null
    echo "stand-in-bases: $image" >&2
}

rust() {
    local toolchain
    root rust bookworm bash,ca-certificates,g++,gcc,libc6-dev,libssl-dev,make,perl,pkg-config,zlib1g-dev
    toolchain=$(rustc --print sysroot)
    mkdir -p "$data/rust/usr/local/cargo/registry"
    cp --recursive --no-clobber "$toolchain"/{bin,lib} "$data/rust/usr/local/"
    # A network that ends TLS itself is trusted by its own certificate.
    cp /etc/ssl/certs/ca-certificates.crt "$data/rust/etc/ssl/certs/"
    import rust "$(name_of rust:)" 'ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/bin:/usr/bin:/bin'
}

postgres() {
    root postgres trixie bash,postgresql-17,util-linux
    install -D "$files/postgres-entrypoint.sh" "$data/postgres/usr/local/bin/docker-entrypoint.sh"
    ln -sf /usr/lib/postgresql/17/bin/{postgres,pg_isready,psql} "$data/postgres/usr/local/bin/"
    import postgres "$(name_of postgres:)" 'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["postgres"]' \
        'VOLUME /var/lib/postgresql/data' 'STOPSIGNAL SIGINT'
}

kafka() {
    root kafka bookworm bash,openjdk-17-jre-headless
    ./scripts/kafka.sh
    local artifact libs="$data/kafka/opt/kafka/libs"
    mkdir -p "$libs" "$data/kafka/opt/kafka/bin" "$data/kafka/var/lib/kafka/data"
    cp .kafka/jars/*.jar "$libs/"
    # The tools are not in kafka.lock: nothing but the job `topics` uses them. This is the newest version that Maven has.
    for artifact in kafka-tools kafka-clients kafka-server-common; do
        mvn --quiet dependency:copy -Dartifact="org.apache.kafka:$artifact:4.3.1" -DoutputDirectory="$data/kafka/opt/kafka/tools"
    done
    install "$files/kafka-run.sh" "$data/kafka/opt/kafka/bin/run.sh"
    install "$files/kafka-topics.sh" "$data/kafka/opt/kafka/bin/"
    chown -R 1000:1000 "$data/kafka/var/lib/kafka"
    import kafka "$(name_of apache/kafka:)" 'USER 1000' 'CMD ["/opt/kafka/bin/run.sh"]' 'VOLUME /var/lib/kafka/data'
}

valkey() {
    root valkey trixie bash,valkey-server
    import valkey "$(name_of valkey/valkey:)" 'USER 999' 'CMD ["valkey-server"]'
}

for name in "${@:-all}"; do
    case $name in
        all) rust; postgres; kafka; valkey ;;
        rust | postgres | kafka | valkey) "$name" ;;
        *) fail "there is no stand-in for $name" ;;
    esac
done
