-- What analytics keeps of the events. Every table is a function of the set of events, whatever order they came in.

-- Where a tenant's days begin. No route writes it; an operator does:
--   begin;
--   set local app.tenant_id = '*';
--   insert into tenant_settings (tenant_id, time_zone) values ('<tenant>', 'Europe/Berlin')
--       on conflict on constraint tenant_settings_pkey do update set time_zone = excluded.time_zone;
--   commit;
-- A tenant without a row has UTC. All of the tenant's days are then counted again within seconds.
create table tenant_settings (
    tenant_id uuid not null constraint tenant_settings_pkey primary key,
    -- IANA name; one that PostgreSQL does not know is an error.
    time_zone text not null
        constraint tenant_settings_time_zone_check check (timezone(time_zone, timestamptz 'epoch') is not null)
);

create table funnel_events (
    -- The event's id.
    id uuid not null constraint funnel_events_pkey primary key,
    tenant_id uuid not null,
    -- Absent where an organisation took the step.
    user_id uuid,
    funnel_step text not null,
    occurred_at timestamptz not null
);
create index funnel_events_tenant_id_occurred_at_idx on funnel_events (tenant_id, occurred_at);

-- When a user was first and last active on a day of UTC, each rounded down to the quarter of an hour, so that a user who
-- stays active costs a write every 15 minutes at the most. All zones' midnights lie on quarters, so nothing is lost by it.
--
-- First and last tell on which local days a user was active: a local day that does not begin with the UTC day ends after
-- that UTC day (or at its end), so `last_at` decides about the former and `first_at` about the latter.
create table activity_days (
    tenant_id uuid not null,
    day date not null,
    user_id uuid not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    constraint activity_days_pkey primary key (tenant_id, day, user_id),
    constraint activity_days_first_at_check check (first_at <= last_at)
) with (fillfactor = 85);

create table ai_usage_analytics (
    id uuid not null constraint ai_usage_analytics_pkey primary key,
    tenant_id uuid not null,
    user_id uuid not null,
    flow_name text not null,
    total_runs bigint not null,
    total_cost_usd numeric not null,
    -- When the newest of the runs happened.
    snapshot_at timestamptz not null,
    constraint ai_usage_analytics_tenant_id_user_id_flow_name_key unique (tenant_id, user_id, flow_name)
) with (fillfactor = 85);

-- In the order in which they take effect where they happened at the same time.
create type subscription_event as enum ('ACTIVATED', 'RENEWED', 'CANCELED');

create table subscription_events (
    -- The event's id.
    id uuid not null constraint subscription_events_pkey primary key,
    tenant_id uuid not null,
    subscription_id uuid not null,
    occurred_at timestamptz not null,
    kind subscription_event not null,
    plan_code text not null,
    -- What the subscription brings a month from here on; null where that is the price of its plan.
    mrr_usd numeric
);
create index subscription_events_subscription_idx
    on subscription_events (tenant_id, subscription_id, occurred_at desc, kind desc, id desc);

-- The platform's price list, the same for all tenants.
create table plan_prices (
    -- The event's id.
    id uuid not null constraint plan_prices_pkey primary key,
    plan_code text not null,
    effective_at timestamptz not null,
    occurred_at timestamptz not null,
    price_usd numeric not null,
    -- What the price pays for.
    months integer not null constraint plan_prices_months_check check (months > 0),
    -- Whether the tenants that it concerns have been counted again.
    counted boolean not null default false
);
create index plan_prices_plan_code_idx on plan_prices (plan_code, effective_at);

-- A day on which nothing counts has no row.
create table kpi_daily (
    day date not null,
    tenant_id uuid not null,
    dau bigint not null,
    wau bigint not null,
    mau bigint not null,
    mrr_usd numeric not null,
    churn_risk_score numeric not null
        constraint kpi_daily_churn_risk_score_check check (churn_risk_score between 0 and 1),
    constraint kpi_daily_pkey primary key (day, tenant_id)
);
create index kpi_daily_tenant_id_day_idx on kpi_daily (tenant_id, day);

-- What kpi_daily lacks: the tenant's days from `since` on. Appended to by the consumer and emptied by whoever brings
-- kpi_daily up to date; neither waits for the other.
create table kpi_changes (
    tenant_id uuid not null,
    since timestamptz not null
);

-- Tenants whose newest row in kpi_daily is of `day`: the next day will need one without any event.
create table kpi_open (
    tenant_id uuid not null constraint kpi_open_pkey primary key,
    day date not null
);
create index kpi_open_day_idx on kpi_open (day);

create function tenant_settings_changed() returns trigger
    language plpgsql
as $$
begin
    insert into kpi_changes (tenant_id, since) values (new.tenant_id, '-infinity');
    return null;
end
$$;
create trigger tenant_settings_changed after insert or update on tenant_settings
    for each row execute function tenant_settings_changed();

create function time_zone_of(tenant uuid) returns text
    language sql stable
as $$
    select coalesce((select s.time_zone from tenant_settings s where s.tenant_id = tenant), 'UTC')
$$;

-- The tenant's day that `instant` falls on.
create function local_day(tenant uuid, instant timestamptz) returns date
    language sql stable
as $$
    select (instant at time zone time_zone_of(tenant))::date
$$;

-- The tenant's KPIs of a local day: as they stood at its end, or as they stand now where it has not ended.
--
-- dau, wau, mau: users who were active on the day, in the 7 and in the 30 days that end with it.
-- mrr_usd: what the subscriptions bring a month, each by the last of its events: the amount it carries, or the price of
--     its plan that was in force at that time (the first one known, where none was yet), to the cent.
-- churn_risk_score, 0 to 1: the mean of two shares, or the one that there is, or 0.
--     Of the users active in the 30 days: those not seen in the last 7.
--     Of the subscriptions live at the end of the day or canceled in the 30 days: those canceled.
create function kpi_on(
    tenant uuid,
    on_day date,
    out dau bigint,
    out wau bigint,
    out mau bigint,
    out mrr_usd numeric,
    out churn_risk_score numeric
)
    language sql stable
as $$
    with span as materialized (
        select on_day::timestamp at time zone zone as day_start,
               (on_day - 6)::timestamp at time zone zone as week_start,
               (on_day - 29)::timestamp at time zone zone as month_start,
               (on_day + 1)::timestamp at time zone zone as day_end
        from time_zone_of(tenant) zone
    ),
    active as (
        select count(*) filter (where u.seen_at >= span.day_start) as dau,
               count(*) filter (where u.seen_at >= span.week_start) as wau,
               count(*) as mau
        from span
        cross join lateral (
            -- The newest time known at which the user was active before the day's end.
            select max(case when a.last_at < span.day_end then a.last_at else a.first_at end) as seen_at
            from activity_days a
            where a.tenant_id = tenant
              and a.day between (span.month_start at time zone 'UTC')::date and (span.day_end at time zone 'UTC')::date
              and a.last_at >= span.month_start
              and a.first_at < span.day_end
            group by a.user_id
        ) u
    ),
    paying as (
        select coalesce(sum(coalesce(s.mrr_usd, price.monthly_usd)), 0) as mrr_usd,
               count(*) filter (where s.kind <> 'CANCELED') as live,
               count(*) filter (where s.kind = 'CANCELED' and s.occurred_at >= span.month_start) as canceled
        from span
        cross join lateral (
            select distinct on (e.subscription_id) e.kind, e.plan_code, e.occurred_at, e.mrr_usd
            from subscription_events e
            where e.tenant_id = tenant and e.occurred_at < span.day_end
            order by e.subscription_id, e.occurred_at desc, e.kind desc, e.id desc
        ) s
        left join lateral (
            select round(p.price_usd / p.months, 2) as monthly_usd
            from plan_prices p
            where s.mrr_usd is null and p.plan_code = s.plan_code
            -- The one nearest before, else the one nearest after.
            order by p.effective_at > s.occurred_at, abs(extract(epoch from s.occurred_at - p.effective_at)),
                     p.occurred_at desc, p.id desc
            limit 1
        ) price on true
    )
    select active.dau, active.wau, active.mau, round(paying.mrr_usd, 2),
           round((
               select coalesce(avg(share), 0)
               from (values ((active.mau - active.wau)::numeric / nullif(active.mau, 0)),
                            (paying.canceled::numeric / nullif(paying.canceled + paying.live, 0))) shares(share)
           ), 4)
    from active, paying
$$;

do $$
declare
    name text;
begin
    foreach name in array array['tenant_settings', 'funnel_events', 'activity_days', 'ai_usage_analytics',
                                'subscription_events', 'kpi_daily', 'kpi_changes', 'kpi_open'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy %I on %I using (app_sees(tenant_id))', name || '_tenant', name);
    end loop;
end
$$;
