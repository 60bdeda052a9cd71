-- What the service can do. One list for all tenants; the service writes its own flows at start, and keeps what an
-- operator has set in the policies and in `is_active`.
create table ai_flows (
    id uuid not null constraint ai_flows_pkey primary key,
    flow_name text not null,
    flow_version text not null,
    prompt_version text not null,
    -- JSON Schema 2020-12.
    input_schema_json jsonb not null,
    output_schema_json jsonb not null,
    -- {"attempts": calls per model, "base_ms": first wait, "cap_ms": longest wait}
    retry_policy_json jsonb not null default '{}',
    -- {"backup_models": bool, "engine": bool}
    fallback_policy_json jsonb not null default '{}',
    is_active boolean not null default true,
    created_at timestamptz not null,
    constraint ai_flows_flow_name_flow_version_key unique (flow_name, flow_version)
);

create table ai_conversations (
    id uuid not null constraint ai_conversations_pkey primary key,
    user_id uuid not null,
    tenant_id uuid not null,
    flow_name text not null,
    created_at timestamptz not null,
    deleted_at timestamptz
);
create index ai_conversations_user_id_idx on ai_conversations (user_id);

-- Answers. What a flow was asked is not kept: it may be somebody's CV.
create table ai_outputs (
    id uuid not null constraint ai_outputs_pkey primary key,
    execution_id uuid not null constraint ai_outputs_execution_id_key unique,
    conversation_id uuid not null
        constraint ai_outputs_conversation_id_fkey references ai_conversations (id),
    user_id uuid not null,
    tenant_id uuid not null,
    flow_name text not null,
    flow_version text not null,
    output_json jsonb not null,
    status text not null constraint ai_outputs_status_check check (status in ('SUCCESS', 'PARTIAL', 'FAILED')),
    confidence double precision not null constraint ai_outputs_confidence_check check (confidence between 0 and 1),
    warnings text[] not null default '{}',
    created_at timestamptz not null
);
create index ai_outputs_conversation_id_idx on ai_outputs (conversation_id);
create index ai_outputs_user_id_idx on ai_outputs (user_id);

-- What an execution cost, over all its calls to models.
create table token_usage (
    id uuid not null constraint token_usage_pkey primary key,
    execution_id uuid not null
        constraint token_usage_execution_id_key unique
        constraint token_usage_execution_id_fkey references ai_outputs (execution_id),
    user_id uuid not null,
    tenant_id uuid not null,
    -- The model that gave the answer, or the deterministic engine; empty where none did.
    model_name text not null,
    prompt_tokens bigint not null constraint token_usage_prompt_tokens_check check (prompt_tokens >= 0),
    completion_tokens bigint not null constraint token_usage_completion_tokens_check check (completion_tokens >= 0),
    total_cost_usd numeric(12, 6) not null constraint token_usage_total_cost_usd_check check (total_cost_usd >= 0),
    latency_ms bigint not null constraint token_usage_latency_ms_check check (latency_ms >= 0),
    created_at timestamptz not null
);
-- A user's usage is added up from the index alone.
create index token_usage_user_id_idx on token_usage (user_id, tenant_id)
    include (prompt_tokens, completion_tokens, total_cost_usd);

alter table ai_conversations enable row level security;
alter table ai_conversations force row level security;
create policy ai_conversations_tenant on ai_conversations using (app_sees(tenant_id));
alter table ai_outputs enable row level security;
alter table ai_outputs force row level security;
create policy ai_outputs_tenant on ai_outputs using (app_sees(tenant_id));
alter table token_usage enable row level security;
alter table token_usage force row level security;
create policy token_usage_tenant on token_usage using (app_sees(tenant_id));
