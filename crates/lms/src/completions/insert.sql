-- Stores a completed lesson with all that follows from it, in one statement and so in one transaction:
-- $1 tenant, $2 user, $3 course, $4 lesson, $5 minutes, $6 now, $7 and $8 id and verification code of the certificate that
-- is issued where the lesson is the last one, $9 to $13 the columns of the events in the order of their publication.
--
-- Every step reads from the one before it, down to `scope`, so the tenant is set before a policy asks for it. That is also
-- why `progress` is an insert which always finds its row there: an update might look at its table first. It locks the row
-- until the commit before an event is written, so that the events of an enrollment keep their order. Of two requests for
-- the same lesson the second waits at `counted` and then inserts nothing.
with scope as materialized (select tenant_id from app_scope($1)),
enrolled as materialized (
    select e.* from scope cross join lateral (
        select id, user_id, course_id, tenant_id, enrolled_at from enrollments
        where tenant_id = scope.tenant_id and user_id = $2 and course_id = $3
        offset 0
    ) e
),
lesson as materialized (
    select l.* from scope cross join lateral (
        select lessons.id, lesson_count from lessons join courses on courses.id = lessons.course_id
        where lessons.id = $4 and courses.id = $3 and status = 'PUBLISHED' and deleted_at is null
            and (courses.tenant_id = scope.tenant_id or visibility = 'PUBLIC')
        offset 0
    ) l
),
counted as (
    insert into lesson_completions (enrollment_id, lesson_id, tenant_id, time_spent_minutes, completed_at)
    select enrolled.id, lesson.id, tenant_id, $5, $6 from enrolled cross join lesson
    on conflict on constraint lesson_completions_pkey do nothing
    returning enrollment_id
),
progress as (
    insert into enrollments as e (id, user_id, course_id, tenant_id, enrolled_at)
    select enrolled.* from counted join enrolled on enrolled.id = counted.enrollment_id
    on conflict on constraint enrollments_pkey do update
    set completed_lessons = e.completed_lessons + 1,
        progress_percent = case when e.status = 'COMPLETED' then 100
            else least(100, round(100.0 * (e.completed_lessons + 1) / (select lesson_count from lesson), 2)) end,
        status = case when e.completed_lessons + 1 >= (select lesson_count from lesson) then 'COMPLETED'
            else e.status end,
        completed_at = case when e.completed_lessons + 1 >= (select lesson_count from lesson)
            then coalesce(e.completed_at, $6) else e.completed_at end
    returning e.user_id, e.course_id, e.tenant_id, e.status
),
certified as (
    insert into certificates (id, user_id, course_id, tenant_id, issued_at, verification_code)
    select $7, user_id, course_id, tenant_id, $6, $8 from progress where status = 'COMPLETED'
    on conflict on constraint certificates_user_id_course_id_key do nothing
    returning id
),
published as (
    insert into outbox (event_id, topic, key, headers, value, created_at)
    select event_id, topic, key, headers, value, $6
    from unnest($9::uuid[], $10::text[], $11::text[], $12::jsonb[], $13::text[]) with ordinality
        as event (event_id, topic, key, headers, value, position)
    where case position when 1 then exists (select from progress) else exists (select from certified) end
    order by position
)
select exists (select from lesson) as "has_lesson!", exists (select from enrolled) as "is_enrolled!",
       exists (select from counted) as "counts!"
