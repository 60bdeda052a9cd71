-- A user in a course. The row belongs to the learner's tenant, which need not be the course's.
create table enrollments (
    id uuid not null constraint enrollments_pkey primary key,
    user_id uuid not null,
    course_id uuid not null constraint enrollments_course_id_fkey references courses (id),
    tenant_id uuid not null,
    status text not null default 'ACTIVE' constraint enrollments_status_check check (status in ('ACTIVE', 'COMPLETED')),
    completed_lessons integer not null default 0,
    progress_percent numeric(5, 2) not null default 0
        constraint enrollments_progress_percent_check check (progress_percent between 0 and 100),
    enrolled_at timestamptz not null,
    completed_at timestamptz,
    constraint enrollments_user_id_course_id_key unique (user_id, course_id)
-- Every completed lesson updates the row; it shall find room on the same page and leave the indexes alone.
) with (fillfactor = 70);
create index enrollments_user_id_enrolled_at_idx on enrollments (user_id, enrolled_at desc, id desc);
create index enrollments_course_id_idx on enrollments (course_id);

-- One row for each lesson that was completed within an enrollment, however often the learner says so.
create table lesson_completions (
    enrollment_id uuid not null
        constraint lesson_completions_enrollment_id_fkey references enrollments (id) on delete cascade,
    -- No foreign key: its check would lock the lesson's row, and all learners of a course would meet there. The statement
    -- that inserts has read the lesson, and lessons are not deleted.
    lesson_id uuid not null,
    tenant_id uuid not null,
    time_spent_minutes integer not null
        constraint lesson_completions_time_spent_minutes_check check (time_spent_minutes between 0 and 1440),
    completed_at timestamptz not null,
    constraint lesson_completions_pkey primary key (enrollment_id, lesson_id)
);

create table certificates (
    id uuid not null constraint certificates_pkey primary key,
    user_id uuid not null,
    course_id uuid not null constraint certificates_course_id_fkey references courses (id),
    tenant_id uuid not null,
    issued_at timestamptz not null,
    verification_code text not null constraint certificates_verification_code_key unique,
    constraint certificates_user_id_course_id_key unique (user_id, course_id)
);
create index certificates_course_id_idx on certificates (course_id);

alter table enrollments enable row level security;
alter table enrollments force row level security;
create policy enrollments_tenant on enrollments using (app_sees(tenant_id));
alter table lesson_completions enable row level security;
alter table lesson_completions force row level security;
create policy lesson_completions_tenant on lesson_completions using (app_sees(tenant_id));
alter table certificates enable row level security;
alter table certificates force row level security;
create policy certificates_tenant on certificates using (app_sees(tenant_id));
