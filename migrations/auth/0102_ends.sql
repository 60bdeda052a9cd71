-- What is swept: sessions by when they ended, be it by expiry or by revocation.
create index sessions_ended_at_idx on sessions (least(expires_at, revoked_at));
drop index sessions_expires_at_idx;

-- The few OPERATORs among all users. The id is that of the role in 0101.
create index user_roles_operators_idx on user_roles (granted_at)
    where role_id = '01900000-0000-7000-8000-000000000004';
