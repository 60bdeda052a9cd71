-- fill events applied for event
insert into inbox (consumer_group, event_id, applied_at)
select 'analytics-global-v1', bench.id('event', n, at), at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.events()) at

-- fill steps of the funnel for user
insert into funnel_events (id, tenant_id, user_id, funnel_step, occurred_at)
select bench.id('step', n * 3 + k, at), bench.tenant_id(n), bench.user_id(n),
       (array['activation.signup', 'activation.lesson_completed', 'engagement.ai_flow'])[k], at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(1, 3) k

-- Of 90 days every user has been active on four, one in each fourth of the time.
-- fill active days for user
insert into activity_days (tenant_id, day, user_id, first_at, last_at)
select bench.tenant_id(n), (since at time zone 'UTC')::date, bench.user_id(n), since, since + interval '30 minutes'
from generate_series($1::bigint, $2::bigint) n, generate_series(0, 3) k,
     lateral (select date_trunc('day', bench.now(), 'UTC') - interval '1 day' * (k * 22 + n * 31 % 22) + interval '30 minutes')
         t(since)
where since + interval '30 minutes' < bench.now()

-- fill AI runs for user
insert into ai_usage_analytics (id, tenant_id, user_id, flow_name, total_runs, total_cost_usd, snapshot_at)
select bench.id('runs', n, at), bench.tenant_id(n), bench.user_id(n), 'skill_gap_analysis', 3, 0.0063, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at

-- A subscription and five renewals.
-- fill events of subscriptions for user
insert into subscription_events (id, tenant_id, subscription_id, occurred_at, kind, plan_code, mrr_usd)
select bench.id('subscription event', n * 6 + k, due), bench.tenant_id(n), bench.id('subscription', n, at), due,
       case when k = 0 then 'ACTIVATED' else 'RENEWED' end::subscription_event, 'PREMIUM', case when k > 0 then 29 end
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(0, 5) k,
     lateral (select least(at + interval '30 days' * k, bench.now())) d(due) where n % 10 = 5

-- fill prices of plans for user
insert into plan_prices (id, plan_code, effective_at, occurred_at, price_usd, months, counted)
select bench.id('price', n * 3 + k, bench.moment(0, 1)), (array['FREEMIUM', 'PREMIUM', 'ENTERPRISE'])[k],
       bench.moment(0, 1), bench.moment(0, 1), (array[0, 29, 299])[k], 1, true
from generate_series($1::bigint, $2::bigint) n, generate_series(1, 3) k where n = 1

-- fill KPIs of days for user
insert into kpi_daily (day, tenant_id, dau, wau, mau, mrr_usd, churn_risk_score)
select (bench.now() at time zone 'UTC')::date - k, bench.tenant_id(n), 1, 1, 1, 0, 0
from generate_series($1::bigint, $2::bigint) n, generate_series(0, 9) k where bench.is_admin(n)

-- fill days to begin for user
insert into kpi_open (tenant_id, day)
select bench.tenant_id(n), (bench.now() at time zone 'UTC')::date from generate_series($1::bigint, $2::bigint) n where bench.is_admin(n)

-- fill KPIs as last counted for user
insert into kpi_now (tenant_id, day, dau, wau, mau, mrr_usd, churn_risk_score, ai_runs, ai_cost_usd)
select bench.tenant_id(n), (bench.now() at time zone 'UTC')::date, 1, 1, 1, 0, 0, 3, 0.0063
from generate_series($1::bigint, $2::bigint) n where bench.is_admin(n)

-- The large organisation's are counted when the service starts.
-- fill what is to be counted for user
insert into kpi_changes (tenant_id, since)
select bench.tenant_id(n), bench.now() from generate_series($1::bigint, $2::bigint) n where n = 19
