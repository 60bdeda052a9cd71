create table users (
    id uuid not null constraint users_pkey primary key,
    tenant_id uuid not null,
    -- Trimmed and in lower case; one account an address over all tenants, because a login names no tenant.
    email text not null
        constraint users_email_key unique
        constraint users_email_check check (email = lower(email) and char_length(email) between 3 and 254),
    -- Argon2id as a PHC string.
    password_hash text not null,
    status text not null default 'ACTIVE' constraint users_status_check check (status in ('ACTIVE', 'SUSPENDED')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    last_login_at timestamptz,
    deleted_at timestamptz
);
create index users_tenant_id_idx on users (tenant_id);

-- Roles and permissions are the same for all tenants; what they allow is part of the product.
create table roles (
    id uuid not null constraint roles_pkey primary key,
    code text not null constraint roles_code_key unique,
    name text not null
);

create table permissions (
    id uuid not null constraint permissions_pkey primary key,
    code text not null constraint permissions_code_key unique,
    description text not null
);

create table role_permissions (
    role_id uuid not null constraint role_permissions_role_id_fkey references roles (id),
    permission_id uuid not null constraint role_permissions_permission_id_fkey references permissions (id),
    constraint role_permissions_pkey primary key (role_id, permission_id)
);

create table user_roles (
    user_id uuid not null constraint user_roles_user_id_fkey references users (id) on delete cascade,
    role_id uuid not null constraint user_roles_role_id_fkey references roles (id),
    tenant_id uuid not null,
    granted_at timestamptz not null,
    constraint user_roles_pkey primary key (user_id, role_id)
);

-- A session is a family of refresh tokens: `refresh_token_hash` is the one that is good now, the spent ones follow below.
-- Tokens are 256 random bits, so a plain SHA-256 (in hex) hides them.
create table sessions (
    id uuid not null constraint sessions_pkey primary key,
    user_id uuid not null constraint sessions_user_id_fkey references users (id) on delete cascade,
    tenant_id uuid not null,
    refresh_token_hash text not null
        constraint sessions_refresh_token_hash_key unique
        constraint sessions_refresh_token_hash_check check (char_length(refresh_token_hash) = 64),
    expires_at timestamptz not null,
    ip_address inet,
    user_agent text not null default '',
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    revoked_at timestamptz
);
create index sessions_user_id_idx on sessions (user_id);
create index sessions_expires_at_idx on sessions (expires_at);

create table spent_refresh_tokens (
    token_hash text not null constraint spent_refresh_tokens_pkey primary key,
    session_id uuid not null
        constraint spent_refresh_tokens_session_id_fkey references sessions (id) on delete cascade,
    tenant_id uuid not null,
    spent_at timestamptz not null
);
create index spent_refresh_tokens_session_id_idx on spent_refresh_tokens (session_id);
create index spent_refresh_tokens_spent_at_idx on spent_refresh_tokens (spent_at);

create table invitations (
    id uuid not null constraint invitations_pkey primary key,
    tenant_id uuid not null,
    email text not null,
    -- Staff of the platform is never made by invitation.
    roles text[] not null constraint invitations_roles_check check (roles <@ array['STUDENT', 'INSTRUCTOR', 'ADMIN']),
    token_hash text not null constraint invitations_token_hash_key unique,
    invited_by uuid not null constraint invitations_invited_by_fkey references users (id),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    accepted_at timestamptz,
    accepted_by uuid constraint invitations_accepted_by_fkey references users (id),
    constraint invitations_accepted_check check ((accepted_at is null) = (accepted_by is null))
);
create index invitations_tenant_id_idx on invitations (tenant_id);

-- The keys that access tokens are signed with. A key is published before it signs and stays so until the last token that
-- it signed has expired.
create table signing_keys (
    kid text not null constraint signing_keys_pkey primary key,
    -- Open to everyone, so that tokens still verify where the private half can no longer be read.
    public_jwk text not null,
    -- Nonce and ChaCha20-Poly1305 ciphertext under a key derived from SERVICE_SHARED_SECRET.
    private_key bytea not null,
    created_at timestamptz not null,
    signs_from timestamptz not null,
    signs_until timestamptz not null,
    published_until timestamptz not null,
    constraint signing_keys_times_check check (published_until >= signs_until)
);

-- Failed logins by account and by address; no tenant is known while somebody only claims to be a user.
-- An attempt is refused while `charged_until` is too far ahead: each failure moves it on (the generic cell rate algorithm).
create table login_failures (
    scope text not null constraint login_failures_scope_check check (scope in ('account', 'address')),
    subject text not null,
    charged_until timestamptz not null,
    constraint login_failures_pkey primary key (scope, subject)
);
create index login_failures_charged_until_idx on login_failures (charged_until);

insert into roles (id, code, name) values
    ('01900000-0000-7000-8000-000000000001', 'STUDENT', 'Student'),
    ('01900000-0000-7000-8000-000000000002', 'INSTRUCTOR', 'Instructor'),
    ('01900000-0000-7000-8000-000000000003', 'ADMIN', 'Administrator of a tenant'),
    ('01900000-0000-7000-8000-000000000004', 'OPERATOR', 'Staff of the platform');

insert into permissions (id, code, description) values
    ('01900000-0000-7000-8000-000000000101', '*', 'Everything, an ADMIN within the tenant'),
    ('01900000-0000-7000-8000-000000000102', 'lms:course:create', 'Make courses'),
    ('01900000-0000-7000-8000-000000000103', 'lms:course:edit', 'Change own courses'),
    ('01900000-0000-7000-8000-000000000104', 'lms:analytics:read', 'See how own courses do'),
    ('01900000-0000-7000-8000-000000000105', 'roadmap:read', 'See own roadmaps'),
    ('01900000-0000-7000-8000-000000000106', 'roadmap:update', 'Change own roadmaps'),
    ('01900000-0000-7000-8000-000000000107', 'ai:execute:basic', 'Run AI flows'),
    ('01900000-0000-7000-8000-000000000108', 'lms:enroll', 'Enrol in courses');

insert into role_permissions (role_id, permission_id)
select roles.id, permissions.id
from (values
    ('OPERATOR', '*'),
    ('ADMIN', '*'),
    ('INSTRUCTOR', 'lms:course:create'),
    ('INSTRUCTOR', 'lms:course:edit'),
    ('INSTRUCTOR', 'lms:analytics:read'),
    ('INSTRUCTOR', 'roadmap:read'),
    ('INSTRUCTOR', 'roadmap:update'),
    ('INSTRUCTOR', 'ai:execute:basic'),
    ('INSTRUCTOR', 'lms:enroll'),
    ('STUDENT', 'roadmap:read'),
    ('STUDENT', 'roadmap:update'),
    ('STUDENT', 'ai:execute:basic'),
    ('STUDENT', 'lms:enroll')
) granted (role, permission)
join roles on roles.code = granted.role
join permissions on permissions.code = granted.permission;

alter table users enable row level security;
alter table users force row level security;
create policy users_tenant on users using (app_sees(tenant_id));
alter table user_roles enable row level security;
alter table user_roles force row level security;
create policy user_roles_tenant on user_roles using (app_sees(tenant_id));
alter table sessions enable row level security;
alter table sessions force row level security;
create policy sessions_tenant on sessions using (app_sees(tenant_id));
alter table spent_refresh_tokens enable row level security;
alter table spent_refresh_tokens force row level security;
create policy spent_refresh_tokens_tenant on spent_refresh_tokens using (app_sees(tenant_id));
alter table invitations enable row level security;
alter table invitations force row level security;
create policy invitations_tenant on invitations using (app_sees(tenant_id));
