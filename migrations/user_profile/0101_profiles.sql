create table profiles (
    id uuid not null constraint profiles_pkey primary key,
    user_id uuid not null constraint profiles_user_id_key unique,
    tenant_id uuid not null,
    full_name text not null default '' constraint profiles_full_name_check check (char_length(full_name) <= 255),
    title text not null default '' constraint profiles_title_check check (char_length(title) <= 255),
    location text not null default '' constraint profiles_location_check check (char_length(location) <= 128),
    bio text not null default '',
    -- IANA name; empty means UTC.
    timezone text not null default '',
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);
create index profiles_tenant_id_idx on profiles (tenant_id);

-- One list for all tenants: a skill is the same thing everywhere.
create table skills (
    id uuid not null constraint skills_pkey primary key,
    key text not null constraint skills_key_key unique,
    name text not null,
    category text not null default ''
);

create table user_skills (
    user_id uuid not null,
    skill_id uuid not null constraint user_skills_skill_id_fkey references skills (id),
    tenant_id uuid not null,
    proficiency numeric(5, 2) not null constraint user_skills_proficiency_check check (proficiency between 0 and 100),
    evidence_count integer not null default 0,
    updated_at timestamptz not null,
    constraint user_skills_pkey primary key (user_id, skill_id)
);

create table experiences (
    id uuid not null constraint experiences_pkey primary key,
    user_id uuid not null,
    tenant_id uuid not null,
    company text not null,
    role text not null,
    start_date date,
    end_date date,
    description text not null default '',
    created_at timestamptz not null,
    deleted_at timestamptz,
    constraint experiences_dates_check check (end_date >= start_date)
);
create index experiences_user_id_idx on experiences (user_id);

create table uploaded_documents (
    id uuid not null constraint uploaded_documents_pkey primary key,
    user_id uuid not null,
    tenant_id uuid not null,
    storage_key text not null,
    document_type text not null,
    mime_type text not null,
    size_bytes bigint not null constraint uploaded_documents_size_bytes_check check (size_bytes >= 0),
    checksum_sha256 text not null,
    created_at timestamptz not null,
    deleted_at timestamptz
);
create index uploaded_documents_user_id_idx on uploaded_documents (user_id);

alter table profiles enable row level security;
alter table profiles force row level security;
create policy profiles_tenant on profiles using (app_sees(tenant_id));
alter table user_skills enable row level security;
alter table user_skills force row level security;
create policy user_skills_tenant on user_skills using (app_sees(tenant_id));
alter table experiences enable row level security;
alter table experiences force row level security;
create policy experiences_tenant on experiences using (app_sees(tenant_id));
alter table uploaded_documents enable row level security;
alter table uploaded_documents force row level security;
create policy uploaded_documents_tenant on uploaded_documents using (app_sees(tenant_id));
