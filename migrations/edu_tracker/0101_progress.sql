-- Rows that most events change leave room on their pages (fillfactor), so that an update need not touch the indexes.

-- Whoever has learned something or set a time zone. Everything of a learner is written under this row's lock.
create table learners (
    user_id uuid not null constraint learners_pkey primary key,
    tenant_id uuid not null,
    -- IANA name, as the latest ProfileUpdated with a time zone says; which one that was stands beside it.
    timezone text not null default 'UTC',
    timezone_at timestamptz,
    timezone_event_id uuid,
    -- The local days with activity, merged into runs: a streak is one of them.
    active_days datemultirange not null default '{}'
) with (fillfactor = 80);

-- What learners did, by instant: what the days are computed from again when a time zone changes.
create table progress_logs (
    id uuid not null constraint progress_logs_pkey primary key,
    tenant_id uuid not null,
    user_id uuid not null constraint progress_logs_user_id_fkey references learners (user_id),
    source_event_type text not null,
    source_event_id uuid not null,
    metric_key text not null,
    metric_value numeric not null,
    course_id uuid,
    lesson_id uuid,
    recorded_at timestamptz not null,
    constraint progress_logs_source_event_id_metric_key_key unique (source_event_id, metric_key)
);
create index progress_logs_user_id_idx on progress_logs (user_id, recorded_at);
-- Who has completed a course or a lesson whose skills become known or change.
create index progress_logs_taught_idx on progress_logs (coalesce(lesson_id, course_id))
    where metric_key in ('lesson_minutes', 'course_completed');

-- Sums per ISO week of the learner's time zone.
create table activity_weeks (
    user_id uuid not null constraint activity_weeks_user_id_fkey references learners (user_id),
    monday date not null,
    tenant_id uuid not null,
    -- Of completed lessons.
    minutes bigint not null constraint activity_weeks_minutes_check check (minutes >= 0),
    milestones integer not null constraint activity_weeks_milestones_check check (milestones >= 0),
    constraint activity_weeks_pkey primary key (user_id, monday)
) with (fillfactor = 80);

-- What each published lesson teaches: of the highest version of its course that lists it.
create table lesson_skills (
    course_id uuid not null,
    lesson_id uuid not null,
    tenant_id uuid not null,
    version integer not null constraint lesson_skills_version_check check (version >= 0),
    -- Decides between publications with the same version.
    published_at timestamptz not null,
    source_event_id uuid not null,
    skill_keys text[] not null,
    constraint lesson_skills_pkey primary key (course_id, lesson_id)
);

-- Evidence of a skill per UTC day. Sums, so that the order of arrival cannot matter.
create table skill_days (
    user_id uuid not null constraint skill_days_user_id_fkey references learners (user_id),
    skill_key text not null,
    day date not null,
    tenant_id uuid not null,
    -- Completed lessons that teach the skill.
    lessons integer not null constraint skill_days_lessons_check check (lessons >= 0),
    -- Completed courses that teach it.
    courses integer not null constraint skill_days_courses_check check (courses >= 0),
    -- Quiz items on it.
    incorrect integer not null constraint skill_days_incorrect_check check (incorrect >= 0),
    correct integer not null constraint skill_days_correct_check check (correct >= 0),
    constraint skill_days_pkey primary key (user_id, skill_key, day)
) with (fillfactor = 80);

create table mastery_scores (
    id uuid not null constraint mastery_scores_pkey primary key,
    tenant_id uuid not null,
    user_id uuid not null constraint mastery_scores_user_id_fkey references learners (user_id),
    skill_key text not null,
    score numeric(5, 2) not null constraint mastery_scores_score_check check (score between 0 and 100),
    computed_at timestamptz not null,
    -- Where the computation goes on: the last day with evidence, and the probability after all days before it.
    last_day date not null,
    settled double precision not null constraint mastery_scores_settled_check check (settled between 0 and 1),
    constraint mastery_scores_user_id_skill_key_key unique (user_id, skill_key)
) with (fillfactor = 80);

-- As of the learner's last event, for reports; the API computes as of the request.
create table productivity_metrics (
    id uuid not null constraint productivity_metrics_pkey primary key,
    tenant_id uuid not null,
    user_id uuid not null constraint productivity_metrics_user_id_key unique
        constraint productivity_metrics_user_id_fkey references learners (user_id),
    streak_days integer not null constraint productivity_metrics_streak_days_check check (streak_days >= 0),
    weekly_minutes integer not null constraint productivity_metrics_weekly_minutes_check check (weekly_minutes >= 0),
    productivity_score numeric(5, 2) not null
        constraint productivity_metrics_productivity_score_check check (productivity_score between 0 and 100),
    prediction_json jsonb not null,
    computed_at timestamptz not null
) with (fillfactor = 80);

alter table learners enable row level security;
alter table learners force row level security;
create policy learners_tenant on learners using (app_sees(tenant_id));
alter table progress_logs enable row level security;
alter table progress_logs force row level security;
create policy progress_logs_tenant on progress_logs using (app_sees(tenant_id));
alter table activity_weeks enable row level security;
alter table activity_weeks force row level security;
create policy activity_weeks_tenant on activity_weeks using (app_sees(tenant_id));
alter table lesson_skills enable row level security;
alter table lesson_skills force row level security;
create policy lesson_skills_tenant on lesson_skills using (app_sees(tenant_id));
alter table skill_days enable row level security;
alter table skill_days force row level security;
create policy skill_days_tenant on skill_days using (app_sees(tenant_id));
alter table mastery_scores enable row level security;
alter table mastery_scores force row level security;
create policy mastery_scores_tenant on mastery_scores using (app_sees(tenant_id));
alter table productivity_metrics enable row level security;
alter table productivity_metrics force row level security;
create policy productivity_metrics_tenant on productivity_metrics using (app_sees(tenant_id));
