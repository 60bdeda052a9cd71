create table instructors (
    id uuid not null constraint instructors_pkey primary key,
    user_id uuid not null constraint instructors_user_id_key unique,
    tenant_id uuid not null,
    display_name text not null default '',
    payout_account_ref text,
    revenue_share_percent numeric(5, 2) not null default 70
        constraint instructors_revenue_share_percent_check check (revenue_share_percent between 0 and 100),
    created_at timestamptz not null
);
create index instructors_tenant_id_idx on instructors (tenant_id);

-- What a text is found by. Punctuation separates words, so that "node.js" is found by "js"; the search terms are cut up
-- in the same way.
create function search_words(text) returns tsvector
    language sql immutable parallel safe
    return to_tsvector('simple'::regconfig, translate($1, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));

create table courses (
    id uuid not null constraint courses_pkey primary key,
    tenant_id uuid not null,
    instructor_id uuid not null constraint courses_instructor_id_fkey references instructors (id),
    -- The instructor's user id: other tenants read it with a public course, and `instructors` is not theirs to read.
    owner_id uuid not null,
    title text not null constraint courses_title_check check (char_length(title) <= 255),
    description text not null default '' constraint courses_description_check check (char_length(description) <= 10000),
    price_usd numeric(10, 2) not null default 0 constraint courses_price_usd_check check (price_usd >= 0),
    level text not null default '',
    status text not null default 'DRAFT' constraint courses_status_check check (status in ('DRAFT', 'PUBLISHED')),
    -- PUBLIC: once published, for the users of every tenant. TENANT: for the tenant's own.
    visibility text not null default 'PUBLIC' constraint courses_visibility_check check (visibility in ('PUBLIC', 'TENANT')),
    -- Counts the CoursePublished events; 0 while it is a draft.
    version integer not null default 0,
    lesson_count integer not null default 0,
    published_at timestamptz,
    created_at timestamptz not null,
    deleted_at timestamptz,
    search tsvector not null generated always as (search_words(title || ' ' || description)) stored,
    constraint courses_published_at_check check ((status = 'PUBLISHED') = (published_at is not null))
);
create index courses_tenant_id_idx on courses (tenant_id, published_at desc, id desc);
create index courses_instructor_id_idx on courses (instructor_id);

-- The published courses that are everybody's, as the public list shows them. It is apart from `courses` because a
-- full-text index cannot serve a table with row-level security: PostgreSQL checks the policy of every row before it lets
-- `@@`, which is not leakproof, see one.
create table catalogue (
    course_id uuid not null constraint catalogue_pkey primary key
        constraint catalogue_course_id_fkey references courses (id) on delete cascade,
    owner_id uuid not null,
    title text not null,
    description text not null,
    price_usd numeric(10, 2) not null,
    published_at timestamptz not null,
    search tsvector not null
);
create index catalogue_published_at_idx on catalogue (published_at desc, course_id desc);
create index catalogue_search_idx on catalogue using gin (search);

create table modules (
    id uuid not null constraint modules_pkey primary key,
    course_id uuid not null constraint modules_course_id_fkey references courses (id) on delete cascade,
    tenant_id uuid not null,
    module_order integer not null constraint modules_module_order_check check (module_order >= 1),
    title text not null constraint modules_title_check check (char_length(title) <= 255),
    -- Whether the course is published and PUBLIC: what the policy below asks of every row.
    is_public boolean not null,
    created_at timestamptz not null,
    constraint modules_course_id_module_order_key unique (course_id, module_order)
);

create table lessons (
    id uuid not null constraint lessons_pkey primary key,
    module_id uuid not null constraint lessons_module_id_fkey references modules (id) on delete cascade,
    course_id uuid not null constraint lessons_course_id_fkey references courses (id) on delete cascade,
    tenant_id uuid not null,
    lesson_order integer not null constraint lessons_lesson_order_check check (lesson_order >= 1),
    title text not null constraint lessons_title_check check (char_length(title) <= 255),
    content_type text not null
        constraint lessons_content_type_check check (content_type in ('VIDEO', 'TEXT', 'QUIZ', 'ASSIGNMENT')),
    video_storage_key text,
    duration_minutes integer not null default 0 constraint lessons_duration_minutes_check check (duration_minutes >= 0),
    -- The skills that it teaches, by their keys in user-profile-service.
    skill_keys text[] not null default '{}',
    -- As in modules.
    is_public boolean not null,
    created_at timestamptz not null,
    constraint lessons_module_id_lesson_order_key unique (module_id, lesson_order)
);
create index lessons_course_id_idx on lessons (course_id);

create table quizzes (
    id uuid not null constraint quizzes_pkey primary key,
    lesson_id uuid not null constraint quizzes_lesson_id_fkey references lessons (id) on delete cascade,
    tenant_id uuid not null,
    pass_score numeric(5, 2) not null default 70
        constraint quizzes_pass_score_check check (pass_score between 0 and 100),
    config_json jsonb not null default '{}'
);
create index quizzes_lesson_id_idx on quizzes (lesson_id);

create table assignments (
    id uuid not null constraint assignments_pkey primary key,
    lesson_id uuid not null constraint assignments_lesson_id_fkey references lessons (id) on delete cascade,
    tenant_id uuid not null,
    instructions text not null default '',
    rubric_json jsonb not null default '{}'
);
create index assignments_lesson_id_idx on assignments (lesson_id);

alter table instructors enable row level security;
alter table instructors force row level security;
create policy instructors_tenant on instructors using (app_sees(tenant_id));

-- A published public course may be read by every tenant, and written by its own alone.
alter table courses enable row level security;
alter table courses force row level security;
create policy courses_tenant on courses using (app_sees(tenant_id));
create policy courses_public on courses for select
    using (status = 'PUBLISHED' and visibility = 'PUBLIC' and deleted_at is null);
alter table modules enable row level security;
alter table modules force row level security;
create policy modules_tenant on modules using (app_sees(tenant_id));
create policy modules_public on modules for select using (is_public);
alter table lessons enable row level security;
alter table lessons force row level security;
create policy lessons_tenant on lessons using (app_sees(tenant_id));
create policy lessons_public on lessons for select using (is_public);

alter table quizzes enable row level security;
alter table quizzes force row level security;
create policy quizzes_tenant on quizzes using (app_sees(tenant_id));
alter table assignments enable row level security;
alter table assignments force row level security;
create policy assignments_tenant on assignments using (app_sees(tenant_id));
