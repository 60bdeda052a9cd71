-- Otherwise the service would tell their prices now, and analytics would count all days of whoever has subscribed.
-- fill plans whose prices are known for user
update plans set announced_at = bench.moment(0, 1)
from generate_series($1::bigint, $2::bigint) n where n = 1

-- fill accounts of organisations for organisation
insert into organization_accounts (id, tenant_id, name, created_at)
select bench.id('account', n, bench.moment(0, 1)), bench.tenant_id(n * 100 + 1), 'Organisation ' || n, bench.moment(0, 1)
from generate_series($1::bigint - 1, $2::bigint - 1) n

-- fill subscriptions of organisations for organisation
insert into subscriptions (id, tenant_id, organization_id, plan_id, status, standing, current_period_start, current_period_end,
                           created_at, updated_at)
select bench.id('organisation subscription', n, bench.moment(0, 1)), bench.tenant_id(n * 100 + 1),
       bench.id('account', n, bench.moment(0, 1)), '019b76da-a800-7000-8000-000000000003', 'ACTIVE', 'ACTIVE',
       bench.now() - interval '10 days', bench.now() + interval '20 days', bench.moment(0, 1), bench.now()
from generate_series($1::bigint - 1, $2::bigint - 1) n where n % 10 = 0

-- fill subscriptions for user
insert into subscriptions (id, tenant_id, user_id, plan_id, status, standing, current_period_start, current_period_end,
                           created_at, updated_at)
select bench.id('subscription', n, at), bench.tenant_id(n), bench.user_id(n), '019b76da-a800-7000-8000-000000000002',
       case when n % 50 = 5 then 'CANCELED' else 'ACTIVE' end, 'ACTIVE', bench.now() - interval '10 days' - gone,
       bench.now() + interval '20 days' - gone, at, bench.now()
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at,
     lateral (select case when n % 50 = 5 then interval '60 days' else interval '0' end) g(gone) where n % 10 = 5

-- fill invoices for user
insert into invoices (id, tenant_id, subscription_id, amount_usd, status, issued_at, paid_at, external_invoice_ref)
select bench.id('invoice', n * 6 + k, due), bench.tenant_id(n), bench.id('subscription', n, at), 29, 'PAID', due, due,
       'bench-' || n || '-' || k
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(0, 5) k,
     lateral (select at + interval '30 days' * k) d(due) where n % 10 = 5

-- fill webhooks for user
insert into webhook_events (key, received_at)
select 'id:bench-' || n || '-' || k, bench.now() - interval '80 days' + interval '80 days' * (n::float8 / bench.users())
from generate_series($1::bigint, $2::bigint) n, generate_series(1, 3) k where n % 10 = 5

-- fill executions counted for run
insert into metered_executions (execution_id, tenant_id, user_id, month)
select bench.id('metered', n, at), bench.tenant_id(u), bench.user_id(u), date_trunc('month', at)::date
from generate_series($1::bigint, $2::bigint) n,
     lateral (select bench.now() - interval '90 days' + interval '90 days' * (n::float8 / bench.runs())) t(at),
     bench.user_of_run(n) u

-- fill usage of users for user
insert into ai_usage (holder_id, month, tenant_id, executions)
select bench.user_id(n), date_trunc('month', bench.now())::date - (interval '1 month' * (n % 3))::interval, bench.tenant_id(n), 3
from generate_series($1::bigint, $2::bigint) n

-- fill usage of tenants for user
insert into ai_usage (holder_id, month, tenant_id, executions)
select bench.tenant_id(n), date_trunc('month', bench.now())::date, bench.tenant_id(n), 3
from generate_series($1::bigint, $2::bigint) n where bench.is_admin(n)

-- fill events applied for run
insert into inbox (consumer_group, event_id, applied_at)
select 'billing-usage-v1', bench.id('billing event', n, at), at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.runs()) at
