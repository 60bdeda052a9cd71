-- fill users for user
insert into users (id, tenant_id, email, password_hash, created_at, updated_at, last_login_at)
select bench.user_id(n), bench.tenant_id(n), 'user-' || n || '@example.com', bench.password(), at, at, bench.now()
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at

-- fill user_roles for user
insert into user_roles (user_id, role_id, tenant_id, granted_at)
select bench.user_id(n), roles.id, bench.tenant_id(n), bench.moment(n, bench.users())
from generate_series($1::bigint, $2::bigint) n
join roles on code = 'STUDENT' or code = 'ADMIN' and bench.is_admin(n)

-- fill live sessions for user
insert into sessions (id, user_id, tenant_id, refresh_token_hash, expires_at, ip_address, user_agent, created_at, last_used_at)
select bench.id('session', n, bench.now()), bench.user_id(n), bench.tenant_id(n), md5('live' || n) || md5('session' || n),
       bench.now() + interval '29 days', '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
       bench.now() - interval '1 day', bench.now() - interval '1 day'
from generate_series($1::bigint, $2::bigint) n

-- fill ended sessions for user
insert into sessions (id, user_id, tenant_id, refresh_token_hash, expires_at, ip_address, user_agent, created_at, last_used_at,
                      revoked_at)
select bench.id('ended', n, at), bench.user_id(n), bench.tenant_id(n), md5('ended' || n) || md5('session' || n),
       at + interval '30 days', '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
       at, at, case when n % 2 = 0 then at + interval '1 day' end
from generate_series($1::bigint, $2::bigint) n,
     lateral (select bench.now() - interval '80 days' + interval '40 days' * (n::float8 / bench.users())) t(at)

-- fill spent refresh tokens for user
insert into spent_refresh_tokens (token_hash, session_id, tenant_id, spent_at)
select md5('spent' || n || k) || md5('token' || n || k), bench.id('session', n, bench.now()), bench.tenant_id(n),
       bench.now() - interval '20 days' + interval '20 days' * (n::float8 / bench.users())
from generate_series($1::bigint, $2::bigint) n, generate_series(1, 2) k

-- fill failed logins for user
insert into login_failures (scope, subject, charged_until)
select 'account', md5('account' || n) || md5(n::text), bench.now() + interval '1 minute'
from generate_series($1::bigint, $2::bigint) n where n % 50 = 0

-- fill idempotency keys for user
insert into idempotency_keys (scope, route, key, request_hash, claim, locked_until, response, created_at)
select bench.user_id(n)::text, 'auth.register', md5('key' || n), decode(md5(n::text), 'hex'), bench.id('claim', n, bench.now()),
       bench.now(), '\x00', bench.now() - interval '12 hours'
from generate_series($1::bigint, $2::bigint) n where n % 10 = 0
