//! Roadmaps: the way to a user's goal, in stages with dates. The newest one to a goal is the active one.

use std::sync::Arc;

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
use sqlx::PgExecutor;
use uuid::Uuid;

mod detail;
mod recalculation;

pub use detail::get;
pub use recalculation::recalculate;

use crate::{
    skill_gaps::TARGET_PROFICIENCY,
    timeline::{self, Span},
};

/// The status of the newest roadmap to a goal.
const ACTIVE: &str = "ACTIVE";
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
        if context.idempotency_key.is_none() {
            // Most goals are new. The statement is a transaction of its own and says itself whose rows it sees.
            let first = plan.version(context, 1);
            if first.insert(db, context, subject).await?.is_some() {
                db.wake_relay();
                return Ok(first.response());
            }
        }
        let mut tx = db.begin(subject.tenant_id).await?;
        let (created, superseded) = loop {
            let created = plan.version(context, next_version(&mut tx, subject, &plan).await?);
            // There is nothing where somebody else has just made the goal; its row is there to be locked then.
            if let Some(superseded) = created.insert(&mut *tx, context, subject).await? {
                break (created, superseded);
            }
        };
        if let (Some(roadmap_id), Some(version)) = (superseded.id, superseded.version) {
            let event = updated(context, subject, roadmap_id, version, "superseded")?;
            outbox::publish_all(&mut tx, [event]).await?;
        }
        let response = created.response();
        claim.complete(&mut tx, &response).await?;
        tx.commit().await?;
        db.wake_relay();
        Ok(response)
    })
    .await
}

/// The version that the next roadmap to the goal will have. The goal's row, if it is there, stays locked until the
/// transaction ends, so that roadmaps to one goal are made one after the other and each sees the one before it.
async fn next_version(tx: &mut Tx, subject: Subject, plan: &Plan) -> Result<i32> {
    let latest = sqlx::query_scalar!(
        "select latest_version from career_goals where tenant_id = $1 and user_id = $2 and goal_key = $3 for update",
        subject.tenant_id,
        subject.user_id,
        plan.goal_key,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(latest.map_or(1, |version| version + 1))
}

/// A roadmap that is being made: a plan's next version.
struct Created<'a> {
    plan: &'a Plan,
    id: Uuid,
    version: i32,
    whole: Span,
}

/// The roadmap that was active until another came, if there was one.
struct Superseded {
    id: Option<Uuid>,
    version: Option<i32>,
}

impl Plan {
    fn version(&self, context: &Context, version: i32) -> Created<'_> {
        let whole = timeline::whole(context.now.date_naive(), self.weeks);
        Created { plan: self, id: id::new(context.now), version, whole }
    }
}

impl Created<'_> {
    fn response(&self) -> CreateRoadmapResponse {
        CreateRoadmapResponse { roadmap_id: self.id.to_string(), version: self.version, status: ACTIVE.to_owned() }
    }

    /// Stores the roadmap with all that belongs to it, its goal included; `None` where the goal is at another version.
    async fn insert(
        &self,
        executor: impl PgExecutor<'_>,
        context: &Context,
        subject: Subject,
    ) -> Result<Option<Superseded>> {
        let stages = Stages::lay_out(self.plan, self.whole, context.now);
        let event = RoadmapCreated {
            roadmap_id: self.id,
            user_id: subject.user_id,
            goal_key: self.plan.goal_key.clone(),
            version: self.version.unsigned_abs(),
        };
        let event = Row::new(context, subject, &event)?;
        let inserted = sqlx::query_file_as!(
            Superseded,
            "src/roadmaps/insert.sql",
            subject.tenant_id,
            subject.user_id,
            id::new(context.now),
            self.plan.goal_key,
            self.plan.target_role,
            self.whole.end,
            context.now,
            self.version,
            self.id,
            self.whole.start,
            i32::from(self.plan.weeks),
            &stages.ids,
            &self.plan.stage_titles,
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
        );
        Ok(inserted.fetch_optional(executor).await?)
    }
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

/// A user's newest active roadmap.
#[derive(Debug, Clone)]
pub struct Active {
    id: Uuid,
    version: i32,
}

impl Active {
    /// The answer to whoever asks for it; `NOT_FOUND` as a status where there is none.
    pub fn response(active: Option<&Self>) -> GetActiveRoadmapResponse {
        match active {
            Some(&Self { id, version }) => {
                GetActiveRoadmapResponse { roadmap_id: id.to_string(), version, status: ACTIVE.to_owned() }
            }
            None => GetActiveRoadmapResponse { status: "NOT_FOUND".to_owned(), ..Default::default() },
        }
    }
}

/// The newest active roadmap of each of `subjects` who has one.
///
/// # Errors
/// 503 where the database is away.
pub async fn find_active(db: Db, subjects: Arc<[Subject]>) -> Result<Vec<Option<Active>>> {
    let (tenant_ids, user_ids) = Subject::columns(subjects.iter().copied());
    // The lateral references set the scope of one row's tenant after the other's.
    let rows = sqlx::query!(
        r#"select r.id as "id?", r.version as "version?"
           from unnest((select $1::uuid[]), (select $2::uuid[])) with ordinality
               as asked(tenant_id, user_id, position)
           cross join lateral app_scope(asked.tenant_id) scope(tenant_id)
           left join lateral (
               select id, version from roadmaps
               where tenant_id = scope.tenant_id and user_id = asked.user_id and status = 'ACTIVE' and deleted_at is null
               order by created_at desc, id desc
               limit 1
           ) r on true
           order by position"#,
        &tenant_ids,
        &user_ids,
    )
    .fetch_all(&db)
    .await?;
    Ok(rows.into_iter().map(|row| Some(Active { id: row.id?, version: row.version? })).collect())
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
