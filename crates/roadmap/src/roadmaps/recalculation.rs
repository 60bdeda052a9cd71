//! Planning anew what is left of a roadmap when it is behind.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Subject,
    error::{Error, OrNotFound},
    outbox,
};
use chrono::NaiveDate;
use uuid::Uuid;

use super::{Reach, updated};
use crate::timeline::{self, Planned, Span};

/// Plans anew what is left of an active roadmap, as [`timeline::recalculate`] says. One that is finished or superseded
/// stays as it is.
///
/// # Errors
/// 404 where there is none within the caller's reach; 503 where the database is away.
pub async fn recalculate(db: &Db, context: &Context, reach: Reach, roadmap_id: Uuid) -> Result<()> {
    let mut tx = db.begin(reach.tenant_id).await?;
    let roadmap = sqlx::query!(
        "select user_id, version, status, start_date, timeline_weeks from roadmaps
         where tenant_id = $1 and id = $2 and ($3::uuid is null or user_id = $3) and deleted_at is null
         for update",
        reach.tenant_id,
        roadmap_id,
        reach.user_id,
    )
    .fetch_optional(&mut *tx)
    .await?
    .or_not_found("roadmap")?;
    let weeks = u16::try_from(roadmap.timeline_weeks).map_err(Error::internal)?;
    let target_end = timeline::whole(roadmap.start_date, weeks).end;
    if roadmap.status != super::ACTIVE
        || !move_stages(&mut tx, context, reach.tenant_id, roadmap_id, target_end).await?
    {
        return Ok(());
    }
    let subject = Subject { user_id: roadmap.user_id, tenant_id: reach.tenant_id };
    let event = updated(context, subject, roadmap_id, roadmap.version, "recalculated")?;
    outbox::publish_all(&mut tx, [event]).await?;
    tx.commit().await
}

/// Stages and milestones with their new dates, as columns.
#[derive(Default)]
struct Moved {
    ids: Vec<Uuid>,
    starts: Vec<NaiveDate>,
    ends: Vec<NaiveDate>,
    milestone_ids: Vec<Uuid>,
    due_dates: Vec<NaiveDate>,
}

/// Moves the stages of a roadmap whose row is locked, with their open milestones; whether any had to be moved.
async fn move_stages(
    tx: &mut Tx,
    context: &Context,
    tenant_id: Uuid,
    roadmap_id: Uuid,
    target_end: NaiveDate,
) -> Result<bool> {
    let stages = sqlx::query!(
        r#"select s.id, s.start_date, s.end_date, s.status = 'COMPLETED' as "finished!",
                  array(select m.id from milestones m where m.stage_id = s.id and m.completed_at is null
                        order by m.milestone_order) as "open!"
           from stages s where s.tenant_id = $1 and s.roadmap_id = $2 order by s.stage_order"#,
        tenant_id,
        roadmap_id,
    )
    .fetch_all(&mut **tx)
    .await?;
    let today = context.now.date_naive();
    let planned: Vec<Planned> = stages
        .iter()
        .map(|stage| Planned { span: Span { start: stage.start_date, end: stage.end_date }, finished: stage.finished })
        .collect();
    let spans = timeline::recalculate(&planned, today, target_end);
    let mut moved = Moved::default();
    for ((stage, planned), span) in stages.iter().zip(&planned).zip(spans) {
        if planned.span == span {
            continue;
        }
        moved.ids.push(stage.id);
        moved.starts.push(span.start);
        moved.ends.push(span.end);
        let left = Span { start: span.start.max(today), end: span.end };
        moved.milestone_ids.extend(&stage.open);
        moved.due_dates.extend(timeline::due_dates(left, stage.open.len()));
    }
    if moved.ids.is_empty() {
        return Ok(false);
    }
    sqlx::query!(
        "with moved as (
             update stages s set start_date = n.start_date, end_date = n.end_date
             from unnest($3::uuid[], $4::date[], $5::date[]) as n(id, start_date, end_date)
             where s.id = n.id and s.tenant_id = $1
         ), due as (
             update milestones m set due_date = n.due_date
             from unnest($6::uuid[], $7::date[]) as n(id, due_date)
             where m.id = n.id and m.tenant_id = $1
         )
         update roadmaps set updated_at = $8 where id = $2 and tenant_id = $1",
        tenant_id,
        roadmap_id,
        &moved.ids,
        &moved.starts,
        &moved.ends,
        &moved.milestone_ids,
        &moved.due_dates,
        context.now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(true)
}
