-- fill conversations for run
insert into ai_conversations (id, user_id, tenant_id, flow_name, created_at)
select bench.id('conversation', n, at), bench.user_id(u), bench.tenant_id(u), 'skill_gap_analysis', at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.runs()) at, bench.user_of_run(n) u

-- fill outputs for run
insert into ai_outputs (id, execution_id, conversation_id, user_id, tenant_id, flow_name, flow_version, output_json, status,
                        confidence, created_at)
select bench.id('output', n, at), bench.id('run', n, at), bench.id('conversation', n, at), bench.user_id(u), bench.tenant_id(u),
       'skill_gap_analysis', 'v1',
       jsonb_build_object('current_skills', array['rust', 'sql'], 'priority_order', array['kubernetes', 'kafka', 'linux'],
           'missing_skills', array['kubernetes', 'kafka', 'linux'], 'summary', repeat('What is asked for and not shown yet. ', 12)),
       'SUCCESS', 0.8, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.runs()) at, bench.user_of_run(n) u

-- fill usage for run
insert into token_usage (id, execution_id, user_id, tenant_id, model_name, prompt_tokens, completion_tokens, total_cost_usd,
                         latency_ms, created_at)
select bench.id('output', n, at), bench.id('run', n, at), bench.user_id(u), bench.tenant_id(u), 'small', 800, 300, 0.0021, 900, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.runs()) at, bench.user_of_run(n) u
