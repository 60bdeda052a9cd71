-- The relay reads the outbox by the primary key, which has the order that it needs. The second index over the same column
-- was written with every event to leave out parked rows, of which there are few.
drop index outbox_waiting_idx;

-- Nearly every row is deleted within a second, so the table is mostly dead rows, and what share of it they are says nothing:
-- it is vacuumed whenever some thousands have gathered, at full speed.
alter table outbox set (
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);
