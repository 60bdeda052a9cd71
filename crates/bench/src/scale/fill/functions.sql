-- What the fills have in common: numbered users, courses and events, and ids that follow from the number, so that every
-- database knows the same ones. Words that begin with a colon are replaced before this runs.
create schema bench;

create function bench.users() returns bigint language sql immutable return :users;
create function bench.courses() returns bigint language sql immutable return :courses;
create function bench.now() returns timestamptz language sql immutable return ':now'::timestamptz;
create function bench.password() returns text language sql immutable return ':password';

-- An id as the services make them: time-ordered (UUIDv7), so that indexes grow where they grow in life.
create function bench.id(kind text, n bigint, at timestamptz) returns uuid language sql stable return
    (lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0')
        || '7' || lpad(to_hex(hashtextextended(kind, n) & 4095), 3, '0')
        || to_hex(hashtextextended(kind, n) & x'3fffffffffffffff'::bigint | x'8000000000000000'::bigint))::uuid;

-- The `n`th of `total` moments of the last year.
create function bench.moment(n bigint, total bigint) returns timestamptz language sql stable return
    bench.now() - interval '365 days' + interval '31535000 seconds' * (n::float8 / total);

create function bench.user_id(n bigint) returns uuid language sql stable return
    bench.id('user', n, bench.moment(n, bench.users()));

-- Of 100 users 50 have a tenant of their own, 45 share one, and 5 are of one large organisation.
create function bench.tenant_id(n bigint) returns uuid language sql stable return
    case when n % 20 = 19 then bench.id('large', 1, bench.moment(0, 1))
         when n % 2 = 0 then bench.id('tenant', n, bench.moment(n, bench.users()))
         else bench.id('organisation', n / 100, bench.moment(0, 1)) end;

-- The ADMIN of a tenant.
create function bench.is_admin(n bigint) returns boolean language sql immutable return
    n % 2 = 0 or n % 100 = 1 or n = 19;

-- Courses 2 to 9 of ten are published for everybody, 1 for its tenant alone, 10 is a draft.
create function bench.course_id(c bigint) returns uuid language sql stable return
    bench.id('course', c, bench.moment(c, bench.courses()));
create function bench.lesson_id(c bigint, lesson bigint) returns uuid language sql stable return
    bench.id('lesson', c * 8 + lesson, bench.moment(c, bench.courses()));
-- The course that a user is enrolled in.
create function bench.course_of(n bigint) returns bigint language sql immutable return
    (n % (bench.courses() / 10)) * 10 + 2 + (n / 7) % 8;
-- Of the certificate of a user who has completed that course: as long as those that the service makes.
create function bench.verification_code(n bigint) returns text language sql immutable return left(md5('code' || n), 22);
create function bench.instructor_of(c bigint) returns bigint language sql immutable return 1 + c % (bench.courses() / 5);

create function bench.skill(n bigint) returns text language sql immutable return 'skill-' || n % 200;

-- AI runs: one a user, and a tenth as many again of user 1, whose usage is added up.
create function bench.runs() returns bigint language sql immutable return bench.users() + bench.users() / 10;
create function bench.user_of_run(n bigint) returns bigint language sql immutable return
    case when n % 11 = 0 then 1 else 1 + (n * 7919) % bench.users() end;

-- What a course is about: one of 24 topics.
create function bench.topic(c bigint) returns text language sql immutable return
    (array['rust', 'sql', 'docker', 'kubernetes', 'linux', 'git', 'python', 'go', 'java', 'testing', 'security', 'networking',
           'design', 'writing', 'statistics', 'algebra', 'probability', 'learning', 'databases', 'caching', 'queues',
           'observability', 'profiling', 'architecture'])[1 + (c / 10 * 7 + c) % 24];

-- Events that analytics has applied.
create function bench.events() returns bigint language sql immutable return :events;
