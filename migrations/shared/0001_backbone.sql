-- What every service's database has. Version numbers below 100 belong to this folder.

-- Tenant isolation. A transaction says whose rows it may see: `set local app.tenant_id`, a tenant's id or '*' for the
-- service's own work. Nothing set sees nothing.
create function app_sees(tenant uuid) returns boolean
    language sql stable parallel safe
    return current_setting('app.tenant_id', true) in ('*', tenant::text);

-- Lets a single statement say whose rows it may see, so that a read needs one round trip:
--   select p.* from app_scope($1) scope
--   cross join lateral (select * from profiles where tenant_id = scope.tenant_id and user_id = $2 offset 0) p
-- The lateral reference makes PostgreSQL call the function before it reads the table, and `offset 0` keeps it so.
create function app_scope(tenant uuid, out tenant_id uuid)
    language plpgsql volatile
as $$
begin
    perform set_config('app.tenant_id', tenant::text, true);
    tenant_id := tenant;
end
$$;

-- Events that are committed and not yet on their topic, in the order in which each key's changes were committed.
create table outbox (
    seq bigint generated always as identity primary key,
    event_id uuid not null constraint outbox_event_id_key unique,
    topic text not null,
    key text not null,
    headers jsonb not null,
    value text not null,
    created_at timestamptz not null default now(),
    -- Set where the broker refuses the record for good; it then waits for an operator and blocks nobody.
    parked_at timestamptz,
    last_error text
);
create index outbox_waiting_idx on outbox (seq) where parked_at is null;

-- Events that a consumer group has applied.
create table inbox (
    consumer_group text not null,
    event_id uuid not null,
    applied_at timestamptz not null default now(),
    constraint inbox_pkey primary key (consumer_group, event_id)
);

-- Answers to requests that came with an Idempotency-Key. `claim` names the request under way until `locked_until`;
-- `response` is its answer, written in the transaction of its effect.
create table idempotency_keys (
    scope text not null,
    route text not null,
    key text not null,
    request_hash bytea not null,
    claim uuid not null,
    locked_until timestamptz not null,
    response bytea,
    created_at timestamptz not null,
    constraint idempotency_keys_pkey primary key (scope, route, key)
);
create index idempotency_keys_created_at_idx on idempotency_keys (created_at);
