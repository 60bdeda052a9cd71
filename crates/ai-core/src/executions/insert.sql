-- Stores executions with their conversations, outputs, usage and events, in one statement and so in one transaction. Columns
-- of the executions: $1 tenants, $2 users, $3 when, $4 ids of output and usage, $5 conversations' ids, $6 executions' ids,
-- $7 and $8 names and versions of the flows, $9 outputs, $10 statuses, $11 confidences, $12 warnings, $13 models, $14 and
-- $15 tokens of prompts and completions, $16 costs, $17 latencies. $18 to $23 are the columns of all their events. Why arrays
-- stand behind `select`: see shared::batch.
--
-- Row-level security asks for the tenant row by row, so every insert goes from one row to the next and sets the row's
-- tenant, by the lateral reference to `app_scope`, before it is stored.
with asked as materialized (
    select * from unnest((select $1::uuid[]), (select $2::uuid[]), (select $3::timestamptz[]), (select $4::uuid[]),
                         (select $5::uuid[]), (select $6::uuid[]), (select $7::text[]), (select $8::text[]),
                         (select $9::text[]), (select $10::text[]), (select $11::float8[]), (select $12::jsonb[]),
                         (select $13::text[]), (select $14::bigint[]), (select $15::bigint[]), (select $16::numeric[]),
                         (select $17::bigint[]))
        as asked (tenant_id, user_id, created_at, id, conversation_id, execution_id, flow_name, flow_version, output, status,
                  confidence, warnings, model, prompt_tokens, completion_tokens, cost, latency_ms)
),
conversation as (
    insert into ai_conversations (id, user_id, tenant_id, flow_name, created_at)
    select conversation_id, user_id, scope.tenant_id, flow_name, created_at
    from asked cross join lateral app_scope(asked.tenant_id) scope(tenant_id)
),
output as (
    insert into ai_outputs (id, execution_id, conversation_id, user_id, tenant_id, flow_name, flow_version, output_json,
                            status, confidence, warnings, created_at)
    select id, execution_id, conversation_id, user_id, scope.tenant_id, flow_name, flow_version, output::jsonb, status,
           confidence, array(select jsonb_array_elements_text(warnings)), created_at
    from asked cross join lateral app_scope(asked.tenant_id) scope(tenant_id)
),
usage as (
    insert into token_usage (id, execution_id, user_id, tenant_id, model_name, prompt_tokens, completion_tokens,
                             total_cost_usd, latency_ms, created_at)
    select id, execution_id, user_id, scope.tenant_id, model, prompt_tokens, completion_tokens, cost, latency_ms, created_at
    from asked cross join lateral app_scope(asked.tenant_id) scope(tenant_id)
)
insert into outbox (event_id, topic, key, headers, value, created_at)
select event_id, topic, key, headers, value, created_at
from unnest((select $18::uuid[]), (select $19::text[]), (select $20::text[]), (select $21::jsonb[]),
            (select $22::text[]), (select $23::timestamptz[])) with ordinality
    as event (event_id, topic, key, headers, value, created_at, position)
order by position
