-- fill skills for skill
insert into skills (id, key, name)
select bench.id('skill', n, bench.moment(0, 1)), bench.skill(n), initcap(bench.skill(n))
from generate_series($1::bigint, $2::bigint) n

-- fill profiles for user
insert into profiles (id, user_id, tenant_id, full_name, title, location, bio, timezone, created_at, updated_at)
select bench.id('profile', n, at), bench.user_id(n), bench.tenant_id(n), 'User Number ' || n, 'Engineer', 'Berlin',
       'Ten years of services and data; wants to learn how platforms are run.', 'Europe/Berlin', at, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at

-- fill skills of users for user
insert into user_skills (user_id, skill_id, tenant_id, proficiency, evidence_count, updated_at)
select bench.user_id(n), bench.id('skill', 1 + (n * 7 + k * 31) % 200, bench.moment(0, 1)), bench.tenant_id(n), 40 + n % 50, 1,
       bench.moment(n, bench.users())
from generate_series($1::bigint, $2::bigint) n, generate_series(1, 3) k

-- fill idempotency keys for user
insert into idempotency_keys (scope, route, key, request_hash, claim, locked_until, response, created_at)
select bench.user_id(n)::text, 'profile.skills', md5('key' || n), decode(md5(n::text), 'hex'),
       bench.id('claim', n, bench.now()), bench.now(), '\x00', bench.now() - interval '12 hours'
from generate_series($1::bigint, $2::bigint) n where n % 10 = 0
