-- The same for all tenants: what can be bought.
create table plans (
    id uuid not null constraint plans_pkey primary key,
    code text not null constraint plans_code_key unique
        constraint plans_code_check check (code ~ '^[A-Z][A-Z0-9_]{0,63}$'),
    name text not null,
    billing_interval text not null
        constraint plans_billing_interval_check check (billing_interval in ('MONTH', 'YEAR')),
    price_usd numeric(12, 2) not null constraint plans_price_usd_check check (price_usd >= 0),
    -- Keys of features; '*' stands for all.
    features_json jsonb not null default '[]'
        constraint plans_features_json_check check (jsonb_typeof(features_json) = 'array'),
    -- AI executions a calendar month; null is no limit.
    ai_quota_monthly bigint constraint plans_ai_quota_monthly_check check (ai_quota_monthly >= 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- When PlanChanged was published for the row as it is; a seeded row is announced when the service starts.
    announced_at timestamptz
);

insert into plans
    (id, code, name, billing_interval, price_usd, features_json, ai_quota_monthly, created_at, updated_at)
values
    ('019b76da-a800-7000-8000-000000000001', 'FREEMIUM', 'Freemium', 'MONTH', 0,
     '["ai.flow.execute"]', 50, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z'),
    ('019b76da-a800-7000-8000-000000000002', 'PREMIUM', 'Premium', 'MONTH', 29,
     '["ai.flow.execute", "ai.interview.simulation", "roadmap.regenerate", "analytics.advanced"]', 1000,
     '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z'),
    ('019b76da-a800-7000-8000-000000000003', 'ENTERPRISE', 'Enterprise', 'MONTH', 299,
     '["*"]', 100000, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z');

-- Opened by an organisation's first subscription; a reporting or sales tool fills in the rest.
create table organization_accounts (
    id uuid not null constraint organization_accounts_pkey primary key,
    tenant_id uuid not null,
    name text not null default '',
    billing_email text not null default '',
    external_customer_ref text constraint organization_accounts_external_customer_ref_key unique,
    created_at timestamptz not null,
    constraint organization_accounts_id_tenant_id_key unique (id, tenant_id)
);
create index organization_accounts_tenant_id_idx on organization_accounts (tenant_id);

create table subscriptions (
    id uuid not null constraint subscriptions_pkey primary key,
    tenant_id uuid not null,
    -- Who holds it: a user, or an organisation for all users of the tenant.
    user_id uuid,
    organization_id uuid,
    plan_id uuid not null constraint subscriptions_plan_id_fkey references plans (id),
    -- What follows from the columns below, as it was last recorded.
    status text not null
        constraint subscriptions_status_check check (status in ('TRIAL', 'ACTIVE', 'PAST_DUE', 'CANCELED', 'EXPIRED')),
    -- What the payments say, kept also after the end.
    standing text not null constraint subscriptions_standing_check check (standing in ('TRIAL', 'ACTIVE', 'PAST_DUE')),
    trial_ends_at timestamptz,
    current_period_start timestamptz not null,
    current_period_end timestamptz not null,
    cancel_at_period_end boolean not null default false,
    -- When the newest news happened on which each of the facts rests; older news does not change it.
    plan_known_at timestamptz,
    period_known_at timestamptz,
    cancel_known_at timestamptz,
    payment_known_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint subscriptions_id_tenant_id_key unique (id, tenant_id),
    constraint subscriptions_organization_id_fkey
        foreign key (organization_id, tenant_id) references organization_accounts (id, tenant_id),
    constraint subscriptions_holder_check check (num_nonnulls(user_id, organization_id) = 1),
    constraint subscriptions_period_check check (current_period_start <= current_period_end)
);
-- At most one live subscription for a user and for an organisation.
create unique index subscriptions_user_id_key on subscriptions (user_id) where status in ('TRIAL', 'ACTIVE', 'PAST_DUE');
create unique index subscriptions_organization_id_key on subscriptions (organization_id)
    where status in ('TRIAL', 'ACTIVE', 'PAST_DUE');
create index subscriptions_user_id_idx on subscriptions (user_id, created_at) where user_id is not null;
create index subscriptions_tenant_id_idx on subscriptions (tenant_id) where organization_id is not null;
create index subscriptions_current_period_end_idx on subscriptions (current_period_end)
    where status in ('TRIAL', 'ACTIVE', 'PAST_DUE');

create table invoices (
    id uuid not null constraint invoices_pkey primary key,
    tenant_id uuid not null,
    subscription_id uuid not null,
    amount_usd numeric(12, 2) not null constraint invoices_amount_usd_check check (amount_usd >= 0),
    status text not null constraint invoices_status_check check (status in ('OPEN', 'PAID')),
    issued_at timestamptz not null,
    paid_at timestamptz,
    -- What the payment provider calls it.
    external_invoice_ref text not null constraint invoices_external_invoice_ref_key unique,
    constraint invoices_subscription_id_fkey
        foreign key (subscription_id, tenant_id) references subscriptions (id, tenant_id),
    constraint invoices_paid_at_check check ((status = 'PAID') = (paid_at is not null))
);
create index invoices_subscription_id_idx on invoices (subscription_id, issued_at);

-- Webhooks that were applied; a repetition has no effect.
create table webhook_events (
    -- 'id:<eventId>', or 'sha256:<hex>' of the body where the provider names none.
    key text not null constraint webhook_events_pkey primary key,
    received_at timestamptz not null
);
create index webhook_events_received_at_idx on webhook_events (received_at);

-- AI executions that were counted, each once.
create table metered_executions (
    execution_id uuid not null constraint metered_executions_pkey primary key,
    tenant_id uuid not null,
    user_id uuid not null,
    -- The first day of the UTC month in which it ran.
    month date not null
);
create index metered_executions_month_idx on metered_executions (month);

-- How many AI executions were counted in a month: for each user, and for each tenant as the pool that an organisation's
-- plan pays for.
create table ai_usage (
    -- The user, or the tenant itself.
    holder_id uuid not null,
    month date not null,
    tenant_id uuid not null,
    executions bigint not null,
    constraint ai_usage_pkey primary key (holder_id, month)
);

alter table organization_accounts enable row level security;
alter table organization_accounts force row level security;
create policy organization_accounts_tenant on organization_accounts using (app_sees(tenant_id));
alter table subscriptions enable row level security;
alter table subscriptions force row level security;
create policy subscriptions_tenant on subscriptions using (app_sees(tenant_id));
alter table invoices enable row level security;
alter table invoices force row level security;
create policy invoices_tenant on invoices using (app_sees(tenant_id));
alter table metered_executions enable row level security;
alter table metered_executions force row level security;
create policy metered_executions_tenant on metered_executions using (app_sees(tenant_id));
alter table ai_usage enable row level security;
alter table ai_usage force row level security;
create policy ai_usage_tenant on ai_usage using (app_sees(tenant_id));
