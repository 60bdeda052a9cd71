-- The queue is taken from tenant by tenant, also while there are notes of all tenants in it.
create index kpi_changes_tenant_id_idx on kpi_changes (tenant_id, since);

-- Activations that bring the price of their plan: what a new price may change.
create index subscription_events_unpriced_idx on subscription_events (plan_code, occurred_at)
    where kind = 'ACTIVATED' and mrr_usd is null;

-- Each tenant's KPIs as they were last counted: what large tenants are answered with, and what the platform's sums are made
-- of. `kpi_on` reads every user of the last 30 days. It follows from the other tables as `kpi_daily` does.
create table kpi_now (
    tenant_id uuid not null constraint kpi_now_pkey primary key,
    -- The tenant's day that they are of.
    day date not null,
    dau bigint not null,
    wau bigint not null,
    mau bigint not null,
    mrr_usd numeric not null,
    churn_risk_score numeric not null,
    ai_runs bigint not null,
    ai_cost_usd numeric not null
) with (fillfactor = 70);

alter table kpi_now enable row level security;
alter table kpi_now force row level security;
create policy kpi_now_tenant on kpi_now using (app_sees(tenant_id));

do $$
begin
    -- The owner is bound by the policies, too.
    perform set_config('app.tenant_id', '*', true);
    insert into kpi_now
    select o.tenant_id, o.day, k.dau, k.wau, k.mau, k.mrr_usd, k.churn_risk_score, coalesce(a.runs, 0), coalesce(a.cost_usd, 0)
    from kpi_open o
    join kpi_daily k on k.tenant_id = o.tenant_id and k.day = o.day
    left join (
        select tenant_id, sum(total_runs)::bigint as runs, sum(total_cost_usd) as cost_usd
        from ai_usage_analytics group by tenant_id
    ) a on a.tenant_id = o.tenant_id;
end
$$;
