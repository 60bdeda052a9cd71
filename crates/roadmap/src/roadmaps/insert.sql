-- Stores version $8 of the roadmap to a goal with its stages, milestones, skills and event, and supersedes the one that was
-- active, in one statement. Version 1 makes the goal as well and stores nothing where it is there already; any other finds
-- the goal one version behind, its row locked by the transaction.
--
-- $1 tenant, $2 user, $3 goal's id where it is new, $4 its key, $5 role, $6 day by which, $7 now, $8 version, $9 roadmap's
-- id, $10 first day, $11 weeks; columns of the stages: $12 ids, $13 titles, $14 and $15 first and last days; of the
-- milestones: $16 ids, $17 stages' ids, $18 positions, $19 titles, $20 due dates; $21 proficiency of its skills to reach;
-- $22 to $26 the event's row.
--
-- Every step reads from the one before it, down to `scope`, so the tenant is set before a policy asks for it. What is
-- superseded needs no such order: where there is anything, the transaction has set the tenant.
with scope as materialized (select tenant_id from app_scope($1)),
goal as (
    insert into career_goals as g
        (id, user_id, tenant_id, goal_key, target_role, target_date, latest_version, created_at)
    select $3, $2, tenant_id, $4, $5, $6, 1, $7 from scope
    on conflict on constraint career_goals_user_id_goal_key_key do update
    set target_role = $5, target_date = $6, latest_version = $8, deleted_at = null
    where g.latest_version = $8 - 1
    returning id, tenant_id
),
superseded as (
    update roadmaps set status = 'SUPERSEDED', updated_at = $7 from goal
    where goal_id = goal.id and roadmaps.tenant_id = goal.tenant_id and status = 'ACTIVE'
    returning roadmaps.id, roadmaps.version
),
created as (
    -- Reads from `superseded` so that there are never two active ones at a time.
    insert into roadmaps (id, goal_id, user_id, tenant_id, version, start_date, timeline_weeks, created_at, updated_at)
    select $9, goal.id, $2, tenant_id, $8, $10, $11, $7, $7 from goal, (select count(*) from superseded) first
    returning id, tenant_id
),
staged as (
    insert into stages (id, roadmap_id, tenant_id, stage_order, title, start_date, end_date, created_at)
    select s.id, created.id, tenant_id, s.position, s.title, s.start_date, s.end_date, $7
    from created, unnest($12::uuid[], $13::text[], $14::date[], $15::date[])
        with ordinality as s (id, title, start_date, end_date, position)
),
planned as (
    insert into milestones (id, stage_id, tenant_id, milestone_order, title, due_date, created_at)
    select m.id, m.stage_id, tenant_id, m.position, m.title, m.due_date, $7
    from created, unnest($16::uuid[], $17::uuid[], $18::int[], $19::text[], $20::date[])
        as m (id, stage_id, position, title, due_date)
),
skilled as (
    insert into roadmap_skills (roadmap_id, skill_key, tenant_id, target_proficiency, position)
    select created.id, s.skill_key, tenant_id, $21, s.position
    from created cross join lateral (
        select skill_key, min(place) as position
        from skill_gaps cross join unnest(priority_order) with ordinality as gap (skill_key, place)
        where user_id = $2 and skill_gaps.tenant_id = created.tenant_id
        group by skill_key
    ) s
),
told as (
    insert into outbox (event_id, topic, key, headers, value, created_at)
    select $22, $23, $24, $25, $26, $7 from created
)
select (select id from superseded) as id, (select version from superseded) as version from created
