-- A tenant's own published courses as its users' catalogue shows them, without its drafts and public ones.
create index courses_tenant_catalogue_idx on courses (tenant_id, published_at desc, id desc)
    where visibility = 'TENANT' and status = 'PUBLISHED' and deleted_at is null;
