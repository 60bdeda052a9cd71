//! A roadmap with its stages, milestones and skills.

use careeros_shared::{
    Result,
    db::Db,
    error::OrNotFound,
    proto::roadmap::{GetRoadmapResponse, Milestone, RoadmapSkill, Stage},
};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{Reach, rfc3339};

/// A row of [`get`]: a milestone with its stage and its roadmap.
struct Row {
    user_id: Uuid,
    goal_key: String,
    target_role: String,
    version: i32,
    status: String,
    timeline_weeks: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    skill_keys: Vec<String>,
    proficiencies: Vec<f64>,
    stage_id: Uuid,
    stage_order: i32,
    stage_title: String,
    start_date: NaiveDate,
    end_date: NaiveDate,
    stage_status: String,
    milestone_id: Uuid,
    milestone_title: String,
    due_date: NaiveDate,
    completed_at: Option<DateTime<Utc>>,
    milestone_status: String,
}

/// The roadmap `roadmap_id` with its stages and milestones.
///
/// # Errors
/// 404 where there is none within the caller's reach; 503 where the database is away.
pub async fn get(db: &Db, reach: Reach, roadmap_id: Uuid) -> Result<GetRoadmapResponse> {
    let rows = sqlx::query_as!(
        Row,
        r#"select f.user_id as "user_id!", f.goal_key as "goal_key!", f.target_role as "target_role!",
                  f.version as "version!", f.status as "status!", f.timeline_weeks as "timeline_weeks!",
                  f.created_at as "created_at!", f.updated_at as "updated_at!",
                  f.skill_keys as "skill_keys!", f.proficiencies as "proficiencies!",
                  f.stage_id as "stage_id!", f.stage_order as "stage_order!", f.stage_title as "stage_title!",
                  f.start_date as "start_date!", f.end_date as "end_date!", f.stage_status as "stage_status!",
                  f.milestone_id as "milestone_id!", f.milestone_title as "milestone_title!",
                  f.due_date as "due_date!", f.completed_at as "completed_at?", f.milestone_status as "milestone_status!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select r.user_id, g.goal_key, g.target_role, r.version, r.status, r.timeline_weeks, r.created_at,
                      r.updated_at,
                      array(select k.skill_key from roadmap_skills k where k.roadmap_id = r.id order by k.position)
                          as skill_keys,
                      array(select k.target_proficiency::float8 from roadmap_skills k where k.roadmap_id = r.id order by k.position)
                          as proficiencies,
                      s.id as stage_id, s.stage_order, s.title as stage_title, s.start_date, s.end_date,
                      s.status as stage_status, m.id as milestone_id, m.milestone_order, m.title as milestone_title,
                      m.due_date, m.completed_at, m.status as milestone_status
               from roadmaps r
               join career_goals g on g.id = r.goal_id
               join stages s on s.roadmap_id = r.id
               join milestones m on m.stage_id = s.id
               where r.tenant_id = scope.tenant_id and r.id = $2 and ($3::uuid is null or r.user_id = $3)
                 and r.deleted_at is null
               offset 0
           ) f
           order by f.stage_order, f.milestone_order"#,
        reach.tenant_id,
        roadmap_id,
        reach.user_id,
    )
    .fetch_all(db)
    .await?;
    let mut rows = rows.into_iter();
    let first = rows.next().or_not_found("roadmap")?;
    let mut roadmap = head(roadmap_id, &first);
    for row in std::iter::once(first).chain(rows) {
        if roadmap.stages.last().is_none_or(|stage| stage.stage_order != row.stage_order) {
            roadmap.stages.push(stage(&row));
        }
        if let Some(stage) = roadmap.stages.last_mut() {
            stage.milestones.push(milestone(row));
        }
    }
    Ok(roadmap)
}

fn head(roadmap_id: Uuid, row: &Row) -> GetRoadmapResponse {
    let skills = row
        .skill_keys
        .iter()
        .zip(&row.proficiencies)
        .map(|(key, proficiency)| RoadmapSkill { skill_key: key.clone(), target_proficiency: *proficiency });
    GetRoadmapResponse {
        roadmap_id: roadmap_id.to_string(),
        user_id: row.user_id.to_string(),
        goal_key: row.goal_key.clone(),
        target_role: row.target_role.clone(),
        version: row.version,
        status: row.status.clone(),
        timeline_weeks: row.timeline_weeks,
        stages: Vec::new(),
        created_at: rfc3339(row.created_at),
        updated_at: rfc3339(row.updated_at),
        skills: skills.collect(),
    }
}

fn stage(row: &Row) -> Stage {
    Stage {
        stage_id: row.stage_id.to_string(),
        stage_order: row.stage_order,
        title: row.stage_title.clone(),
        start_date: row.start_date.to_string(),
        end_date: row.end_date.to_string(),
        status: row.stage_status.clone(),
        milestones: Vec::new(),
    }
}

fn milestone(row: Row) -> Milestone {
    Milestone {
        milestone_id: row.milestone_id.to_string(),
        title: row.milestone_title,
        due_date: row.due_date.to_string(),
        completed_at: row.completed_at.map(rfc3339),
        status: row.milestone_status,
    }
}
