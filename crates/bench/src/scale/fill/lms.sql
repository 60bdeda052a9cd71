-- fill instructors for instructor
insert into instructors (id, user_id, tenant_id, created_at)
select bench.id('instructor', n, at), bench.user_id(n), bench.tenant_id(n), at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at

-- fill courses for course
insert into courses (id, tenant_id, instructor_id, owner_id, title, description, price_usd, status, visibility, version,
                     lesson_count, published_at, created_at)
select bench.course_id(c), bench.tenant_id(i), bench.id('instructor', i, bench.moment(i, bench.users())), bench.user_id(i),
       initcap(bench.topic(c)) || ' in practice ' || c,
       'What ' || bench.topic(c) || ' is good for, how it is done, and a project to try it. Course number' || c || 'x.',
       0, case when c % 10 = 0 then 'DRAFT' else 'PUBLISHED' end, case when c % 10 = 1 then 'TENANT' else 'PUBLIC' end,
       case when c % 10 = 0 then 0 else 1 end, 8, case when c % 10 <> 0 then at end, at
from generate_series($1::bigint, $2::bigint) c, bench.moment(c, bench.courses()) at, bench.instructor_of(c) i

-- fill catalogue for course
insert into catalogue (course_id, owner_id, title, description, price_usd, published_at, search)
select id, owner_id, title, description, price_usd, published_at, search
from generate_series($1::bigint, $2::bigint) c join courses on id = bench.course_id(c)
where status = 'PUBLISHED' and visibility = 'PUBLIC'

-- fill modules for course
insert into modules (id, course_id, tenant_id, module_order, title, is_public, created_at)
select bench.id('module', c * 2 + m, at), bench.course_id(c), bench.tenant_id(bench.instructor_of(c)), m, 'Module ' || m,
       c % 10 > 1, at
from generate_series($1::bigint, $2::bigint) c, bench.moment(c, bench.courses()) at, generate_series(1, 2) m

-- fill lessons for course
insert into lessons (id, module_id, course_id, tenant_id, lesson_order, title, content_type, duration_minutes, skill_keys,
                     is_public, created_at)
select bench.lesson_id(c, l), bench.id('module', c * 2 + 1 + l / 4, at), bench.course_id(c),
       bench.tenant_id(bench.instructor_of(c)), 1 + l % 4, 'Lesson ' || l + 1, 'VIDEO', 25,
       array[bench.skill(c), bench.skill(c + l)], c % 10 > 1, at
from generate_series($1::bigint, $2::bigint) c, bench.moment(c, bench.courses()) at, generate_series(0, 7) l

-- fill enrollments for user
insert into enrollments (id, user_id, course_id, tenant_id, status, completed_lessons, progress_percent, enrolled_at, completed_at)
select bench.id('enrollment', n, at), bench.user_id(n), bench.course_id(bench.course_of(n)), bench.tenant_id(n),
       case when n % 10 = 0 then 'COMPLETED' else 'ACTIVE' end, case when n % 10 = 0 then 8 else 2 end,
       case when n % 10 = 0 then 100 else 25 end, at, case when n % 10 = 0 then at + interval '9 days' end
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at

-- fill lesson completions for user
insert into lesson_completions (enrollment_id, lesson_id, tenant_id, time_spent_minutes, completed_at)
select bench.id('enrollment', n, at), bench.lesson_id(bench.course_of(n), l), bench.tenant_id(n), 25, at + interval '1 day' * l
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at,
     generate_series(0, case when n % 10 = 0 then 7 else 1 end) l

-- fill certificates for user
insert into certificates (id, user_id, course_id, tenant_id, issued_at, verification_code)
select bench.id('certificate', n, at), bench.user_id(n), bench.course_id(bench.course_of(n)), bench.tenant_id(n),
       at + interval '9 days', bench.verification_code(n)
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at where n % 10 = 0
