create table career_goals (
    id uuid not null constraint career_goals_pkey primary key,
    user_id uuid not null,
    tenant_id uuid not null,
    goal_key text not null constraint career_goals_goal_key_check check (char_length(goal_key) between 1 and 128),
    target_role text not null constraint career_goals_target_role_check check (char_length(target_role) between 1 and 255),
    -- When the newest roadmap to it ends.
    target_date date not null,
    -- Of the newest roadmap to it. Counting up takes the row's lock, so that two roadmaps made at once get two versions.
    latest_version integer not null constraint career_goals_latest_version_check check (latest_version >= 1),
    created_at timestamptz not null,
    deleted_at timestamptz,
    constraint career_goals_user_id_goal_key_key unique (user_id, goal_key)
);

create table roadmaps (
    id uuid not null constraint roadmaps_pkey primary key,
    goal_id uuid not null constraint roadmaps_goal_id_fkey references career_goals (id),
    user_id uuid not null,
    tenant_id uuid not null,
    version integer not null constraint roadmaps_version_check check (version >= 1),
    status text not null default 'ACTIVE'
        constraint roadmaps_status_check check (status in ('ACTIVE', 'COMPLETED', 'SUPERSEDED')),
    generated_by text not null default 'AI',
    -- The first day; the last one is timeline_weeks later.
    start_date date not null,
    timeline_weeks integer not null constraint roadmaps_timeline_weeks_check check (timeline_weeks between 1 and 520),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    constraint roadmaps_goal_id_version_key unique (goal_id, version)
);
create unique index roadmaps_goal_id_active_key on roadmaps (goal_id) where status = 'ACTIVE';
create index roadmaps_user_id_active_idx on roadmaps (user_id, created_at desc, id desc) where status = 'ACTIVE';

create table stages (
    id uuid not null constraint stages_pkey primary key,
    roadmap_id uuid not null constraint stages_roadmap_id_fkey references roadmaps (id),
    tenant_id uuid not null,
    stage_order integer not null constraint stages_stage_order_check check (stage_order >= 1),
    title text not null,
    start_date date not null,
    -- Inclusive.
    end_date date not null,
    status text not null default 'PENDING'
        constraint stages_status_check check (status in ('PENDING', 'IN_PROGRESS', 'COMPLETED')),
    created_at timestamptz not null,
    constraint stages_roadmap_id_stage_order_key unique (roadmap_id, stage_order),
    constraint stages_dates_check check (end_date >= start_date)
);

create table milestones (
    id uuid not null constraint milestones_pkey primary key,
    stage_id uuid not null constraint milestones_stage_id_fkey references stages (id),
    tenant_id uuid not null,
    milestone_order integer not null constraint milestones_milestone_order_check check (milestone_order >= 1),
    title text not null,
    due_date date not null,
    completed_at timestamptz,
    status text not null default 'PENDING'
        constraint milestones_status_check check (status in ('PENDING', 'COMPLETED')),
    created_at timestamptz not null,
    constraint milestones_stage_id_milestone_order_key unique (stage_id, milestone_order),
    constraint milestones_completed_at_check check ((status = 'COMPLETED') = (completed_at is not null))
);

create table roadmap_skills (
    roadmap_id uuid not null constraint roadmap_skills_roadmap_id_fkey references roadmaps (id),
    skill_key text not null,
    tenant_id uuid not null,
    target_proficiency numeric(5, 2) not null
        constraint roadmap_skills_target_proficiency_check check (target_proficiency between 0 and 100),
    -- In the order to learn them, from 1.
    position integer not null,
    constraint roadmap_skills_pkey primary key (roadmap_id, skill_key)
);

-- What each user lacks, as the newest analysis says; a new roadmap takes its skills from here.
create table skill_gaps (
    user_id uuid not null constraint skill_gaps_pkey primary key,
    tenant_id uuid not null,
    execution_id uuid not null,
    missing_skills text[] not null,
    priority_order text[] not null,
    occurred_at timestamptz not null
);

-- The JSON columns are json and not jsonb, which would reorder what a client sent.
create table roadmap_drafts (
    id uuid not null constraint roadmap_drafts_pkey primary key,
    user_id uuid not null,
    tenant_id uuid not null,
    title text not null,
    target_role text not null default '',
    target_grade text not null default '',
    -- DRAFT: drawn by hand or generated; IN_PROGRESS and COMPLETED: its interview.
    status text not null default 'DRAFT'
        constraint roadmap_drafts_status_check check (status in ('DRAFT', 'IN_PROGRESS', 'COMPLETED')),
    interview_log_json json not null default '[]',
    roadmap_nodes_json json not null default '[]',
    canvas_viewport_json json not null default '{"x":0,"y":0,"scale":1}',
    timeline_weeks integer,
    summary text not null default '',
    -- The AI execution that generated the nodes.
    execution_id uuid constraint roadmap_drafts_execution_id_key unique,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index roadmap_drafts_user_id_idx on roadmap_drafts (user_id, created_at desc, id desc);

alter table career_goals enable row level security;
alter table career_goals force row level security;
create policy career_goals_tenant on career_goals using (app_sees(tenant_id));
alter table roadmaps enable row level security;
alter table roadmaps force row level security;
create policy roadmaps_tenant on roadmaps using (app_sees(tenant_id));
alter table stages enable row level security;
alter table stages force row level security;
create policy stages_tenant on stages using (app_sees(tenant_id));
alter table milestones enable row level security;
alter table milestones force row level security;
create policy milestones_tenant on milestones using (app_sees(tenant_id));
alter table roadmap_skills enable row level security;
alter table roadmap_skills force row level security;
create policy roadmap_skills_tenant on roadmap_skills using (app_sees(tenant_id));
alter table skill_gaps enable row level security;
alter table skill_gaps force row level security;
create policy skill_gaps_tenant on skill_gaps using (app_sees(tenant_id));
alter table roadmap_drafts enable row level security;
alter table roadmap_drafts force row level security;
create policy roadmap_drafts_tenant on roadmap_drafts using (app_sees(tenant_id));
