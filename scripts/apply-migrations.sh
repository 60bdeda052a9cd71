#!/usr/bin/env bash
# Applies the migrations of all eight databases. Repeating it, or running it twice at once, is harmless.
#
# Each database is named by its own variable (AUTH_DATABASE_URL, USER_PROFILE_DATABASE_URL, AI_CORE_DATABASE_URL,
# ROADMAP_DATABASE_URL, LMS_DATABASE_URL, EDU_TRACKER_DATABASE_URL, BILLING_DATABASE_URL, ANALYTICS_DATABASE_URL), with a
# role that may create tables. DATABASE_URL stands in for those that are not set, with its database's name replaced.
#
# The program `careeros` is looked for in CAREEROS_BIN (a directory), on PATH, and else built.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${CAREEROS_BIN:-}" ]; then
    program=$CAREEROS_BIN/careeros
elif command -v careeros >/dev/null; then
    program=careeros
else
    cargo build --quiet --locked -p careeros >&2
    program=${CARGO_TARGET_DIR:-target}/debug/careeros
fi

for pair in auth:auth profile:user_profile ai-core:ai_core roadmap:roadmap lms:lms edu-tracker:edu_tracker \
    billing:billing analytics:analytics; do
    service=${pair%%:*} database=${pair##*:}
    variable="$(echo "$database" | tr '[:lower:]' '[:upper:]')_DATABASE_URL"
    url=${!variable:-}
    if [ -z "$url" ]; then
        if [ -z "${DATABASE_URL:-}" ]; then
            echo "apply-migrations: set $variable, or DATABASE_URL for all databases of one server" >&2
            exit 2
        fi
        server="${DATABASE_URL%%\?*}"
        # What follows a question mark, such as ?sslmode=require, holds for every database.
        url="${server%/*}/$database${DATABASE_URL#"$server"}"
    fi
    DATABASE_URL=$url "$program" "$service" migrate
done
