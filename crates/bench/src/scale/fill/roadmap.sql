-- fill goals for user
insert into career_goals (id, user_id, tenant_id, goal_key, target_role, target_date, latest_version, created_at)
select bench.id('goal', n, at), bench.user_id(n), bench.tenant_id(n), 'backend', 'Backend Engineer',
       (at + interval '168 days')::date, 1, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at where n % 2 = 0

-- fill roadmaps for user
insert into roadmaps (id, goal_id, user_id, tenant_id, version, start_date, timeline_weeks, created_at, updated_at)
select bench.id('roadmap', n, at), bench.id('goal', n, at), bench.user_id(n), bench.tenant_id(n), 1, at::date, 24, at, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at where n % 2 = 0

-- fill stages for user
insert into stages (id, roadmap_id, tenant_id, stage_order, title, start_date, end_date, created_at)
select bench.id('stage', n * 4 + k, at), bench.id('roadmap', n, at), bench.tenant_id(n), k, 'Stage ' || k,
       at::date + (k - 1) * 42, at::date + k * 42 - 1, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(1, 4) k where n % 2 = 0

-- fill milestones for user
insert into milestones (id, stage_id, tenant_id, milestone_order, title, due_date, created_at)
select bench.id('milestone', n * 8 + k * 2 + m, at), bench.id('stage', n * 4 + k, at), bench.tenant_id(n), m,
       'Milestone ' || m, at::date + (k - 1) * 42 + m * 20, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(1, 4) k,
     generate_series(1, 2) m where n % 2 = 0

-- fill skills of roadmaps for user
insert into roadmap_skills (roadmap_id, skill_key, tenant_id, target_proficiency, position)
select bench.id('roadmap', n, at), bench.skill(n + k), bench.tenant_id(n), 80, k
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at, generate_series(1, 3) k where n % 2 = 0

-- fill skill gaps for user
insert into skill_gaps (user_id, tenant_id, execution_id, missing_skills, priority_order, occurred_at)
select bench.user_id(n), bench.tenant_id(n), bench.id('run', n, at), skills, skills, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at,
     lateral (select array[bench.skill(n + 1), bench.skill(n + 2), bench.skill(n + 3)]) s(skills) where n % 5 = 0

-- fill drafts for user
insert into roadmap_drafts (id, user_id, tenant_id, title, target_role, roadmap_nodes_json, timeline_weeks, created_at, updated_at)
select bench.id('draft', n, at), bench.user_id(n), bench.tenant_id(n), 'Roadmap draft', 'Backend Engineer',
       (select json_agg(json_build_object('id', 'node-' || k, 'label', 'Foundations of part ' || k, 'progress', 0,
                                          'x', k * 120, 'y', 80)) from generate_series(1, 8) k),
       24, at, at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at where n % 4 = 0

-- fill events applied for user
insert into inbox (consumer_group, event_id, applied_at)
select 'roadmap-ai-updates-v1', bench.id('roadmap event', n, at), at
from generate_series($1::bigint, $2::bigint) n, bench.moment(n, bench.users()) at where n % 2 = 0
