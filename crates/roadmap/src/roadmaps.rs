//! Roadmaps: the way to a user's goal, in stages with dates. The newest one to a goal is the active one.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Subject,
    error::OrNotFound,
    events::{RoadmapCreated, RoadmapUpdated},
    id, idempotency,
    identity::Role,
    outbox::{self, Row},
    proto::roadmap::{CreateRoadmapRequest, CreateRoadmapResponse, GetActiveRoadmapResponse},
    validate::Checks,
};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

mod detail;
mod recalculation;

pub use detail::get;
pub use recalculation::recalculate;

use crate::{
    skill_gaps::TARGET_PROFICIENCY,
    timeline::{self, Span},
};

/// How long a roadmap takes whose length nobody names.
const DEFAULT_WEEKS: i32 = 12;
/// Ten years.
pub(crate) const WEEKS_MAX: i32 = 520;
/// Stages of a roadmap at the most.
pub(crate) const STAGES_MAX: usize = 20;
/// The stages of a roadmap whose stages nobody names.
const DEFAULT_STAGES: [&str; 4] = ["Foundation", "Core Skills", "Projects", "Interview Prep"];

/// A roadmap to be made.
#[derive(Debug)]
pub struct Plan {
    goal_key: String,
    target_role: String,
    weeks: u16,
    stage_titles: Vec<String>,
}

impl Plan {
    /// Checks a request.
    ///
    /// # Errors
    /// 400 naming each wrong field.
    pub fn parse(request: &CreateRoadmapRequest) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("goalKey", &request.goal_key, 1, 128);
        checks.text("targetRole", &request.target_role, 1, 255);
        let weeks = request.timeline_weeks.unwrap_or(DEFAULT_WEEKS);
        checks.range("timelineWeeks", weeks, 1..=WEEKS_MAX);
        let weeks = u16::try_from(weeks).unwrap_or_default();
        let named = &request.stage_titles;
        let most = STAGES_MAX.min(usize::from(weeks) * 7);
        if weeks > 0 && named.len() > most {
            checks.fail("stageTitles", format!("must have {most} entries or fewer for {weeks} weeks"));
        }
        for (at, title) in named.iter().enumerate().take(STAGES_MAX) {
            checks.text(&format!("stageTitles[{at}]"), title, 1, 255);
        }
        checks.finish()?;
        let stage_titles = if named.is_empty() { DEFAULT_STAGES.map(str::to_owned).into() } else { named.clone() };
        Ok(Self { goal_key: request.goal_key.clone(), target_role: request.target_role.clone(), weeks, stage_titles })
    }
}

/// Makes the subject's roadmap to a goal; the one before it to the same goal is superseded.
///
/// # Errors
/// 400 naming each wrong field; 503 where the database is away.
pub async fn create(
    db: &Db,
    context: &Context,
    subject: Subject,
    request: &CreateRoadmapRequest,
) -> Result<CreateRoadmapResponse> {
    let plan = Plan::parse(request)?;
    idempotency::run(db, context, "roadmaps.create", request, async |claim: idempotency::Claim| {
        let mut tx = db.begin(subject.tenant_id).await?;
        let whole = timeline::whole(context.now.date_naive(), plan.weeks);
        let (goal_id, version) = next_version(&mut tx, context, subject, &plan, whole.end).await?;
        let created = Created { id: id::new(context.now), goal_id, version };
        if let Some((roadmap_id, version)) = insert(&mut tx, context, subject, &plan, whole, &created).await? {
            let event = updated(context, subject, roadmap_id, version, "superseded")?;
            outbox::publish_all(&mut tx, context, &[event]).await?;
        }
        let response =
            CreateRoadmapResponse { roadmap_id: created.id.to_string(), version, status: "ACTIVE".to_owned() };
        claim.complete(&mut tx, &response).await?;
        tx.commit().await?;
        db.wake_relay();
        Ok(response)
    })
    .await
}

/// The ids of a roadmap that is being made.
struct Created {
    id: Uuid,
    goal_id: Uuid,
    version: i32,
}

/// The goal's id and the version of its next roadmap. The goal's row stays locked until the transaction ends, so that
/// roadmaps to one goal are made one after the other.
async fn next_version(
    tx: &mut Tx,
    context: &Context,
    subject: Subject,
    plan: &Plan,
    target_date: NaiveDate,
) -> Result<(Uuid, i32)> {
    let goal = sqlx::query!(
        "insert into career_goals as g
             (id, user_id, tenant_id, goal_key, target_role, target_date, latest_version, created_at)
         values ($1, $2, $3, $4, $5, $6, 1, $7)
         on conflict on constraint career_goals_user_id_goal_key_key do update
         set target_role = $5, target_date = $6, latest_version = g.latest_version + 1, deleted_at = null
         returning id, latest_version",
        id::new(context.now),
        subject.user_id,
        subject.tenant_id,
        plan.goal_key,
        plan.target_role,
        target_date,
        context.now,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((goal.id, goal.latest_version))
}

/// Stores the roadmap with its stages, milestones, skills and event, and supersedes the active one to the same goal, which
/// is returned. One statement, and apart from the one that locks the goal, so that it sees what was committed before that.
async fn insert(
    tx: &mut Tx,
    context: &Context,
    subject: Subject,
    plan: &Plan,
    whole: Span,
    created: &Created,
) -> Result<Option<(Uuid, i32)>> {
    let stages = Stages::lay_out(plan, whole, context.now);
    let event = RoadmapCreated {
        roadmap_id: created.id,
        user_id: subject.user_id,
        goal_key: plan.goal_key.clone(),
        version: created.version.unsigned_abs(),
    };
    let event = Row::new(context, subject, &event)?;
    let superseded = sqlx::query!(
        r#"with superseded as (
               update roadmaps set status = 'SUPERSEDED', updated_at = $8
               where goal_id = $2 and tenant_id = $4 and status = 'ACTIVE'
               returning id, version
           ), created as (
               -- Reads from "superseded" so that there are never two active ones at a time.
               insert into roadmaps (id, goal_id, user_id, tenant_id, version, start_date, timeline_weeks, created_at, updated_at)
               select $1, $2, $3, $4, $5, $6, $7, $8, $8 from (select count(*) from superseded) first
           ), staged as (
               insert into stages (id, roadmap_id, tenant_id, stage_order, title, start_date, end_date, created_at)
               select s.id, $1, $4, s.position, s.title, s.start_date, s.end_date, $8
               from unnest($9::uuid[], $10::text[], $11::date[], $12::date[])
                   with ordinality as s(id, title, start_date, end_date, position)
           ), planned as (
               insert into milestones (id, stage_id, tenant_id, milestone_order, title, due_date, created_at)
               select m.id, m.stage_id, $4, m.position, m.title, m.due_date, $8
               from unnest($13::uuid[], $14::uuid[], $15::int[], $16::text[], $17::date[])
                   as m(id, stage_id, position, title, due_date)
           ), skilled as (
               insert into roadmap_skills (roadmap_id, skill_key, tenant_id, target_proficiency, position)
               select $1, s.skill_key, $4, $18, min(s.position)
               from skill_gaps g, unnest(g.priority_order) with ordinality as s(skill_key, position)
               where g.user_id = $3 and g.tenant_id = $4
               group by s.skill_key
           ), told as (
               insert into outbox (event_id, topic, key, headers, value, created_at) values ($19, $20, $21, $22, $23, $8)
           )
           select id as "id!", version as "version!" from superseded"#,
        created.id,
        created.goal_id,
        subject.user_id,
        subject.tenant_id,
        created.version,
        whole.start,
        i32::from(plan.weeks),
        context.now,
        &stages.ids,
        &plan.stage_titles,
        &stages.starts,
        &stages.ends,
        &stages.milestones.ids,
        &stages.milestones.stage_ids,
        &stages.milestones.positions,
        &stages.milestones.titles,
        &stages.milestones.due_dates,
        Decimal::from(TARGET_PROFICIENCY),
        event.event_id,
        event.topic,
        event.key,
        event.headers,
        event.value,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(superseded.map(|row| (row.id, row.version)))
}

/// A plan's stages and milestones as the columns of their rows.
#[derive(Default)]
struct Stages {
    ids: Vec<Uuid>,
    starts: Vec<NaiveDate>,
    ends: Vec<NaiveDate>,
    milestones: Milestones,
}

#[derive(Default)]
struct Milestones {
    ids: Vec<Uuid>,
    stage_ids: Vec<Uuid>,
    positions: Vec<i32>,
    titles: Vec<String>,
    due_dates: Vec<NaiveDate>,
}

impl Stages {
    fn lay_out(plan: &Plan, whole: Span, now: DateTime<Utc>) -> Self {
        let mut stages = Self::default();
        for (title, span) in plan.stage_titles.iter().zip(timeline::plan(whole, plan.stage_titles.len())) {
            let stage_id = id::new(now);
            stages.ids.push(stage_id);
            stages.starts.push(span.start);
            stages.ends.push(span.end);
            for (position, (title, due_date)) in (1..).zip(timeline::milestones(title, span)) {
                let milestones = &mut stages.milestones;
                milestones.ids.push(id::new(now));
                milestones.stage_ids.push(stage_id);
                milestones.positions.push(position);
                milestones.titles.push(title);
                milestones.due_dates.push(due_date);
            }
        }
        stages
    }
}

/// The subject's newest active roadmap; `NOT_FOUND` as a status where there is none.
///
/// # Errors
/// 503 where the database is away.
pub async fn find_active(db: &Db, subject: Subject) -> Result<GetActiveRoadmapResponse> {
    let found = sqlx::query!(
        r#"select r.id as "id!", r.version as "version!", r.status as "status!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select id, version, status from roadmaps
               where tenant_id = scope.tenant_id and user_id = $2 and status = 'ACTIVE' and deleted_at is null
               order by created_at desc, id desc
               limit 1
           ) r"#,
        subject.tenant_id,
        subject.user_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map_or_else(
        || GetActiveRoadmapResponse { roadmap_id: String::new(), version: 0, status: "NOT_FOUND".to_owned() },
        |row| GetActiveRoadmapResponse { roadmap_id: row.id.to_string(), version: row.version, status: row.status },
    ))
}

/// Which roadmaps a caller may reach by their id: those of one user, or of all users of a tenant.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    tenant_id: Uuid,
    user_id: Option<Uuid>,
}

impl Reach {
    /// How far the caller reaches for `roadmap_id`.
    ///
    /// # Errors
    /// 401 without a token; for an OPERATOR 404 where there is no such roadmap.
    pub async fn of(db: &Db, context: &Context, roadmap_id: Uuid) -> Result<Self> {
        let user = context.user()?;
        if user.is(Role::Operator) {
            let mut tx = db.begin_system().await?;
            let tenant_id = sqlx::query_scalar!("select tenant_id from roadmaps where id = $1", roadmap_id)
                .fetch_optional(&mut *tx)
                .await?
                .or_not_found("roadmap")?;
            return Ok(Self { tenant_id, user_id: None });
        }
        let user_id = (!user.is(Role::Admin)).then_some(user.id);
        Ok(Self { tenant_id: user.tenant_id, user_id })
    }
}

/// A time as responses have it.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The event that a roadmap changed.
pub(crate) fn updated(
    context: &Context,
    subject: Subject,
    roadmap_id: Uuid,
    version: i32,
    change: &str,
) -> Result<Row> {
    let event = RoadmapUpdated {
        roadmap_id,
        user_id: subject.user_id,
        version: version.unsigned_abs(),
        change: change.to_owned(),
    };
    Row::new(context, subject, &event)
}
