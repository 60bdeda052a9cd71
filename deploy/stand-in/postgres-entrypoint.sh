#!/usr/bin/env bash
# What the official image does with a password and scripts in /docker-entrypoint-initdb.d, and no more.
set -euo pipefail

bin=$(echo /usr/lib/postgresql/*/bin)
export PATH="$bin:$PATH" PGDATA=${PGDATA:-/var/lib/postgresql/data}
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --encoding=UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256 --auth-local=trust --username=postgres \
        --pwfile=<(echo "$POSTGRES_PASSWORD") >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --options="-c listen_addresses=''" --wait --silent start
    for script in /docker-entrypoint-initdb.d/*.sh; do
        [ ! -e "$script" ] || bash "$script"
    done
    pg_ctl --mode=fast --wait --silent stop
fi
exec "$@" -c listen_addresses='*'
