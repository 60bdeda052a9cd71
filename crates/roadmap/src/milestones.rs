//! Milestones: completing one moves its stage on, and the last one of all completes the roadmap.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    directory::Subject,
    error::OrNotFound,
    events::MilestoneCompleted,
    outbox::{self, Row},
};
use uuid::Uuid;

use crate::roadmaps::updated;

/// Completes a milestone of the subject's. One that is completed stays as it is.
///
/// # Errors
/// 404 where the subject has none of that id; 503 where the database is away.
pub async fn complete(db: &Db, context: &Context, subject: Subject, milestone_id: Uuid) -> Result<()> {
    let mut tx = db.begin(subject.tenant_id).await?;
    let roadmap = sqlx::query!(
        "select r.id, r.version, s.id as stage_id
         from milestones m join stages s on s.id = m.stage_id join roadmaps r on r.id = s.roadmap_id
         where m.id = $1 and m.tenant_id = $2 and r.user_id = $3 and r.deleted_at is null
         for update of r",
        milestone_id,
        subject.tenant_id,
        subject.user_id,
    )
    .fetch_optional(&mut *tx)
    .await?
    .or_not_found("milestone")?;
    // Only now, with the roadmap locked, is it certain whether somebody else has completed it.
    let completed = sqlx::query!(
        "update milestones set status = 'COMPLETED', completed_at = $3
         where id = $1 and tenant_id = $2 and completed_at is null",
        milestone_id,
        subject.tenant_id,
        context.now,
    )
    .execute(&mut *tx)
    .await?;
    if completed.rows_affected() == 0 {
        return Ok(());
    }
    let event = MilestoneCompleted { milestone_id, roadmap_id: roadmap.id, completed_at: context.now };
    let mut rows = vec![Row::new(context, subject, &event)?];
    if let Some(change) = progress(&mut tx, context, subject.tenant_id, roadmap.id, roadmap.stage_id).await? {
        rows.push(updated(context, subject, roadmap.id, roadmap.version, change)?);
    }
    outbox::publish_all(&mut tx, rows).await?;
    tx.commit().await
}

/// Moves a stage, and with it perhaps the roadmap, to the status that its milestones give it; what changed, if anything.
async fn progress(
    tx: &mut Tx,
    context: &Context,
    tenant_id: Uuid,
    roadmap_id: Uuid,
    stage_id: Uuid,
) -> Result<Option<&'static str>> {
    let stage = sqlx::query!(
        r#"update stages s
           set status = case
               when exists (select from milestones where stage_id = $1 and completed_at is null) then 'IN_PROGRESS'
               else 'COMPLETED'
           end
           from stages before
           where s.id = $1 and s.tenant_id = $2 and before.id = s.id
           returning before.status as "before!", s.status as "after!""#,
        stage_id,
        tenant_id,
    )
    .fetch_one(&mut **tx)
    .await?;
    if stage.before == stage.after {
        return Ok(None);
    }
    if stage.after != "COMPLETED" {
        return Ok(Some("stage_started"));
    }
    let completed = sqlx::query!(
        "update roadmaps set status = 'COMPLETED', updated_at = $3
         where id = $1 and tenant_id = $2 and status = 'ACTIVE'
           and not exists (select from stages where roadmap_id = $1 and status <> 'COMPLETED')",
        roadmap_id,
        tenant_id,
        context.now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(Some(if completed.rows_affected() == 1 { "completed" } else { "stage_completed" }))
}
