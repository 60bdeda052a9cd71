//! Skill gaps: what each user lacks, as the newest analysis says. A new roadmap takes its skills from here.

use careeros_shared::{
    Result,
    db::Tx,
    error::Error,
    events::{Envelope, SkillGapAnalyzed},
};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::ai_updates::instant;

/// The proficiency, 0 to 100, that a roadmap aims for in a skill that is lacking.
pub(crate) const TARGET_PROFICIENCY: u8 = 70;
/// Skills of a gap at the most; the first ones are the most urgent.
const SKILLS_MAX: usize = 100;

/// An analysis of one user.
#[derive(Debug)]
pub(crate) struct SkillGap {
    user_id: Uuid,
    tenant_id: Uuid,
    occurred_at: DateTime<Utc>,
    analysis: SkillGapAnalyzed,
}

impl SkillGap {
    /// Reads an event.
    pub(crate) fn read(envelope: &Envelope) -> Result<Self> {
        let user_id = envelope.user()?.ok_or_else(|| Error::invalid("user_id", "is required"))?;
        let mut analysis: SkillGapAnalyzed = envelope.payload()?;
        analysis.missing_skills.truncate(SKILLS_MAX);
        analysis.priority_order.truncate(SKILLS_MAX);
        Ok(Self { user_id, tenant_id: envelope.tenant()?, occurred_at: instant(envelope), analysis })
    }

    /// Later analyses win; the execution decides between those of one instant.
    fn rank(&self) -> (DateTime<Utc>, Uuid) {
        (self.occurred_at, self.analysis.execution_id)
    }
}

/// Keeps of each user's analyses the newest one.
pub(crate) async fn store(tx: &mut Tx, mut gaps: Vec<SkillGap>) -> Result<()> {
    // One row a user, which one statement may write only once; in the order of users, so that two batches cannot wait for
    // each other.
    gaps.sort_by_key(|gap| (gap.user_id, std::cmp::Reverse(gap.rank())));
    gaps.dedup_by_key(|gap| gap.user_id);
    let rows: Vec<_> = gaps
        .iter()
        .map(|gap| {
            json!({
                "user_id": gap.user_id, "tenant_id": gap.tenant_id, "occurred_at": gap.occurred_at,
                "execution_id": gap.analysis.execution_id, "missing_skills": gap.analysis.missing_skills,
                "priority_order": gap.analysis.priority_order,
            })
        })
        .collect();
    sqlx::query!(
        "insert into skill_gaps as g (user_id, tenant_id, execution_id, missing_skills, priority_order, occurred_at)
         select user_id, tenant_id, execution_id, missing_skills, priority_order, occurred_at
         from jsonb_populate_recordset(null::skill_gaps, $1)
         on conflict on constraint skill_gaps_pkey do update
         set tenant_id = excluded.tenant_id, execution_id = excluded.execution_id,
             missing_skills = excluded.missing_skills, priority_order = excluded.priority_order,
             occurred_at = excluded.occurred_at
         where (excluded.occurred_at, excluded.execution_id) > (g.occurred_at, g.execution_id)",
        serde_json::Value::Array(rows),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
