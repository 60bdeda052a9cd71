-- fill learners for user
insert into learners (user_id, tenant_id, timezone, active_days)
select bench.user_id(n), bench.tenant_id(n), 'Europe/Berlin',
       (select range_agg(daterange(d, d + 2)) from bench.moment(n, bench.users()) at, generate_series(0, 3) k,
        lateral (select at::date + k * 5 as d) days)
from generate_series($1::bigint, $2::bigint) n where n % 10 < 6

-- fill progress logs for user
insert into progress_logs (id, tenant_id, user_id, source_event_type, source_event_id, metric_key, metric_value, course_id,
                           lesson_id, recorded_at)
select bench.id('log', n * 5 + k, at), bench.tenant_id(n), bench.user_id(n), 'LessonCompleted',
       bench.id('learnt', n * 5 + k, at), 'lesson_minutes', 25, bench.course_id(bench.course_of(n)),
       bench.lesson_id(bench.course_of(n), k), at + interval '1 day' * k
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(0, 4) k where n % 10 < 6

-- fill weeks for user
insert into activity_weeks (user_id, monday, tenant_id, minutes, milestones)
select bench.user_id(n), date_trunc('week', at)::date + k * 7, bench.tenant_id(n), 50, 0
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(0, 2) k where n % 10 < 6

-- fill what lessons teach for course
insert into lesson_skills (course_id, lesson_id, tenant_id, version, published_at, source_event_id, skill_keys)
select bench.course_id(c), bench.lesson_id(c, l), bench.tenant_id(bench.instructor_of(c)), 1, at, bench.id('published', c, at),
       array[bench.skill(c), bench.skill(c + l)]
from generate_series($1::bigint, $2::bigint) c, bench.moment(c, bench.courses()) at, generate_series(0, 7) l where c % 10 > 0

-- fill days of skills for user
insert into skill_days (user_id, skill_key, day, tenant_id, lessons, courses, incorrect, correct)
select bench.user_id(n), bench.skill(bench.course_of(n) + k), at::date + k, bench.tenant_id(n), 1, 0, 0, 0
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(0, 4) k where n % 10 < 6

-- fill mastery for user
insert into mastery_scores (id, tenant_id, user_id, skill_key, score, computed_at, last_day, settled)
select bench.id('mastery', n * 5 + k, at), bench.tenant_id(n), bench.user_id(n), bench.skill(bench.course_of(n) + k), 30, at,
       at::date + k, 0.3
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(0, 4) k where n % 10 < 6

-- fill productivity for user
insert into productivity_metrics (id, tenant_id, user_id, streak_days, weekly_minutes, productivity_score, prediction_json,
                                  computed_at)
select bench.id('productivity', n, at), bench.tenant_id(n), bench.user_id(n), 2, 50, 40,
       '{"next_week_minutes": 50, "trend": "steady"}', at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at where n % 10 < 6

-- fill events applied for user
insert into inbox (consumer_group, event_id, applied_at)
select 'edutracker-lms-progress-v1', bench.id('learnt', n * 5 + k, at), at + interval '1 day' * k
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(0, 4) k where n % 10 < 6
