-- Stores completed lessons with all that follows from them, in one statement and so in one transaction. Columns of the
-- lessons that are said to be completed: $1 tenants, $2 users, $3 courses, $4 lessons, $5 minutes, $6 when, $7 and $8 id and
-- verification code of the certificate that is issued where the lesson is a course's last one. $9 to $14 are the columns
-- of their events, three for each lesson: that it is completed, that its course is, that the certificate is issued. Why
-- arrays stand behind `select`: see shared::batch.
--
-- Row-level security asks for the tenant row by row, so every step goes from one row to the next and sets the row's tenant,
-- by a lateral reference to `app_scope`, before it touches a table. That is also why `progress` is an insert which always
-- finds its row there: an update might look at its table first. It locks the row until the commit before an event is
-- written, so that the events of an enrollment keep their order. Of two requests for the same lesson the second waits at
-- `counted` and then inserts nothing. Both steps go in the order of the enrollments, so that two statements cannot wait for
-- each other.
with asked as materialized (
    select * from unnest((select $1::uuid[]), (select $2::uuid[]), (select $3::uuid[]), (select $4::uuid[]),
                         (select $5::integer[]), (select $6::timestamptz[]), (select $7::uuid[]), (select $8::text[]))
        with ordinality
        as asked (tenant_id, user_id, course_id, lesson_id, minutes, completed_at, certificate_id, code, number)
),
found as materialized (
    select asked.*, e.id as enrollment_id, enrolled_at, lesson_count
    from asked
    cross join lateral app_scope(asked.tenant_id) scope(tenant_id)
    left join lateral (
        select id, enrolled_at from enrollments
        where tenant_id = scope.tenant_id and user_id = asked.user_id and course_id = asked.course_id
        offset 0
    ) e on true
    left join lateral (
        select lesson_count from lessons join courses on courses.id = lessons.course_id
        where lessons.id = asked.lesson_id and courses.id = asked.course_id and status = 'PUBLISHED'
            and deleted_at is null and (courses.tenant_id = scope.tenant_id or visibility = 'PUBLIC')
        offset 0
    ) l on true
),
-- Who is named twice counts once.
due as materialized (
    select distinct on (enrollment_id, lesson_id) * from found
    where enrollment_id is not null and lesson_count is not null
    order by enrollment_id, lesson_id, number
),
counted as (
    insert into lesson_completions (enrollment_id, lesson_id, tenant_id, time_spent_minutes, completed_at)
    select enrollment_id, lesson_id, scope.tenant_id, minutes, completed_at
    from due cross join lateral app_scope(due.tenant_id) scope(tenant_id)
    on conflict on constraint lesson_completions_pkey do nothing
    returning enrollment_id, lesson_id
),
fresh as materialized (
    select number, enrollment_id from counted join due using (enrollment_id, lesson_id)
),
-- What an enrollment gains; the last of its lessons stands for it.
gained as materialized (
    select enrollment_id, count(*) as lessons, max(number) as number from fresh group by enrollment_id
),
progress as (
    insert into enrollments as e (id, user_id, course_id, tenant_id, enrolled_at, completed_lessons)
    select enrollment_id, user_id, course_id, scope.tenant_id, enrolled_at, lessons
    from (
        select found.*, lessons from gained join found using (number) order by found.enrollment_id
    ) f
    cross join lateral app_scope(f.tenant_id) scope(tenant_id)
    on conflict on constraint enrollments_pkey do update
    set (completed_lessons, progress_percent, status, completed_at) = (
        select done,
               case when e.status = 'COMPLETED' then 100 else least(100, round(100.0 * done / lesson_count, 2)) end,
               case when done >= lesson_count then 'COMPLETED' else e.status end,
               case when done >= lesson_count then coalesce(e.completed_at, found.completed_at) else e.completed_at end
        from gained join found using (number),
        lateral (select e.completed_lessons + excluded.completed_lessons as done) sum
        where gained.enrollment_id = e.id
    )
    returning e.id, e.status
),
certified as (
    insert into certificates (id, user_id, course_id, tenant_id, issued_at, verification_code)
    select certificate_id, user_id, course_id, scope.tenant_id, completed_at, code
    from progress
    join gained on gained.enrollment_id = progress.id and progress.status = 'COMPLETED'
    join found using (number)
    cross join lateral app_scope(found.tenant_id) scope(tenant_id)
    on conflict on constraint certificates_user_id_course_id_key do nothing
    returning id
),
published as (
    insert into outbox (event_id, topic, key, headers, value, created_at)
    select event_id, topic, key, headers, value, created_at
    from unnest((select $9::uuid[]), (select $10::text[]), (select $11::text[]), (select $12::jsonb[]),
                (select $13::text[]), (select $14::timestamptz[])) with ordinality
        as event (event_id, topic, key, headers, value, created_at, position)
    join found on number = (position + 2) / 3
    where case when position % 3 = 1
        then number in (select number from fresh join progress on progress.id = enrollment_id)
        else certificate_id in (select id from certified) end
    order by position
)
select lesson_count is not null as "has_lesson!", enrollment_id is not null as "is_enrolled!",
       number in (select number from fresh) as "counts!"
from found order by number
