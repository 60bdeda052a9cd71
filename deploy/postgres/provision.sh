#!/usr/bin/env bash
# Makes the eight databases, a role for each that may read and write its rows and nothing else, and the role that owns
# them all and applies migrations. Repeating it sets the passwords again and harms nothing.
#
# The server is named by psql's own variables (PGHOST, PGUSER, PGPASSWORD), the role being a superuser; the passwords are
# MIGRATOR_DB_PASSWORD, AUTH_DB_PASSWORD, USER_PROFILE_DB_PASSWORD and so on. The postgres image runs it at its first start.
set -euo pipefail

databases=(auth user_profile ai_core roadmap lms edu_tracker billing analytics)

sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$@"; }

secret_of() { # role: the value of its variable
    local variable
    variable="$(echo "${1#careeros_}" | tr '[:lower:]' '[:upper:]')_DB_PASSWORD"
    [ -n "${!variable:-}" ] || { echo "provision: set $variable" >&2; exit 2; }
    echo "${!variable}"
}

# psql reads the password from its environment, so that it is in no list of processes.
set_role() { # role
    ROLE_PASSWORD=$(secret_of "$1")
    export ROLE_PASSWORD
    sql --dbname postgres --set role="$1" <<'SQL'
\getenv password ROLE_PASSWORD
set log_statement = none;
set log_min_error_statement = panic;
select format('create role %I', :'role')
where not exists (select from pg_roles where rolname = :'role')
\gexec
alter role :"role" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication password :'password';
SQL
    unset ROLE_PASSWORD
}

# UTF-8 whatever the server's own encoding is.
make_database() { # database
    sql --dbname postgres --set database="$1" --set role="careeros_$1" <<'SQL'
select format('create database %I owner careeros_migrator template template0 encoding ''UTF8''', :'database')
where not exists (select from pg_database where datname = :'database')
\gexec
revoke all on database :"database" from public;
grant connect on database :"database" to :"role";
SQL
    # Rights on the tables that are there and on those that migrations will make.
    sql --dbname "$1" --set role="careeros_$1" <<'SQL'
alter schema public owner to careeros_migrator;
revoke create on schema public from public;
grant usage on schema public to :"role";
grant select, insert, update, delete on all tables in schema public to :"role";
grant usage, select on all sequences in schema public to :"role";
alter default privileges for role careeros_migrator in schema public
    grant select, insert, update, delete on tables to :"role";
alter default privileges for role careeros_migrator in schema public grant usage, select on sequences to :"role";
SQL
}

# In the image's first start the server listens on its socket only, and the superuser is POSTGRES_USER.
export PGUSER=${PGUSER:-${POSTGRES_USER:-postgres}}
set_role careeros_migrator
sql --dbname postgres --command 'revoke connect on database postgres from public'
for database in "${databases[@]}"; do
    set_role "careeros_$database"
    make_database "$database"
done
