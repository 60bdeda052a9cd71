#!/usr/bin/env bash
# Checks every SQL query against the migrations and writes the metadata that builds without a database use (.sqlx).
#
#   ./scripts/prepare-sql.sh postgres://postgres@localhost:5432/postgres
#
# The URL names a PostgreSQL server on which databases may be made; they are dropped at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

server=${1:-}
if [ -z "$server" ]; then
    echo "prepare-sql: name a PostgreSQL server: $0 postgres://user:password@host:port/postgres" >&2
    exit 2
fi
command -v psql >/dev/null || { echo "prepare-sql: psql is missing; run ./scripts/setup.sh" >&2; exit 1; }
sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$@"; }
base=${server%%\?*}

for pair in auth:auth profile:user_profile ai-core:ai_core roadmap:roadmap lms:lms edu-tracker:edu_tracker \
    billing:billing analytics:analytics; do
    crate=${pair%%:*} database=${pair##*:}
    name="careeros_prepare_$database"
    url="${base%/*}/$name${server#"$base"}"
    sql "$server" -c "drop database if exists $name" -c "create database $name" 2>/dev/null
    for file in migrations/shared/*.sql "migrations/$database"/*.sql; do
        sql --single-transaction "$url" -f "$file"
    done
    rm -rf "crates/$crate/.sqlx"
    mkdir "crates/$crate/.sqlx"
    # The macros write what they learn from a live database into SQLX_OFFLINE_DIR; the touch makes them run.
    touch "crates/$crate/src/lib.rs"
    variable="$(echo "$database" | tr '[:lower:]' '[:upper:]')_DATABASE_URL"
    env SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/crates/$crate/.sqlx" "$variable=$url" \
        cargo check --quiet --all-targets -p "careeros-$crate"
    sql "$server" -c "drop database $name"
    echo "careeros-$crate: $(find "crates/$crate/.sqlx" -name '*.json' | wc -l) queries"
done
