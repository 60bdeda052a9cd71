-- No query asks for the profiles of a tenant, and a user's own was looked for in it by plans to which all tenants are small.
drop index profiles_tenant_id_idx;
