#!/usr/bin/env bash
# Writes the secrets that docker-compose.yml needs into .env, made up at random. What .env says already stays.
set -euo pipefail
cd "$(dirname "$0")/.."

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

umask 077
touch .env
chmod 600 .env
# A last line without its end would run into the first new one.
[ -z "$(tail -c1 .env)" ] || echo >>.env
added=0
for variable in SERVICE_SHARED_SECRET BILLING_WEBHOOK_SECRETS POSTGRES_PASSWORD MIGRATOR_DB_PASSWORD AUTH_DB_PASSWORD \
    USER_PROFILE_DB_PASSWORD AI_CORE_DB_PASSWORD ROADMAP_DB_PASSWORD LMS_DB_PASSWORD EDU_TRACKER_DB_PASSWORD \
    BILLING_DB_PASSWORD ANALYTICS_DB_PASSWORD GRAFANA_ADMIN_PASSWORD; do
    if ! grep -q "^$variable=." .env; then
        echo "$variable=$(random)" >>.env
        added=$((added + 1))
    fi
done
echo "compose-env: $added secrets added to .env, which git ignores; keep it with the volumes, whose passwords it holds"
