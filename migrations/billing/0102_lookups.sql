-- An organisation's subscriptions, live or not.
create index subscriptions_organization_id_idx on subscriptions (organization_id) where organization_id is not null;

-- Live subscriptions in the order in which they end, which is how those that have ended are paged through.
create index subscriptions_due_idx on subscriptions (current_period_end, id)
    where status in ('TRIAL', 'ACTIVE', 'PAST_DUE');
drop index subscriptions_current_period_end_idx;
