//! What AI core tells of its flows: a generated roadmap becomes a draft, an analysed skill gap is kept for the next roadmap.

use careeros_shared::{
    Result,
    consumer::Handler,
    db::Tx,
    events::{Envelope, RoadmapDraftGenerated, SkillGapAnalyzed},
};

use crate::{
    drafts::{self, Generated},
    skill_gaps::{self, SkillGap},
};

/// The consumer group.
pub const GROUP: &str = "roadmap-ai-updates-v1";

/// Applies AI core's events. Drafts are made once per execution, and of skill gaps the newest wins, so the order in which
/// events arrive does not matter.
#[derive(Debug, Clone, Copy)]
pub struct AiUpdates;

impl Handler for AiUpdates {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        let generated = events.iter().filter(|event| event.is::<RoadmapDraftGenerated>()).map(Generated::read);
        let generated = generated.collect::<Result<Vec<_>>>()?;
        let gaps = events.iter().filter(|event| event.is::<SkillGapAnalyzed>()).map(SkillGap::read);
        let gaps = gaps.collect::<Result<Vec<_>>>()?;
        if !generated.is_empty() {
            drafts::insert_generated(tx, generated).await?;
        }
        if !gaps.is_empty() {
            skill_gaps::store(tx, gaps).await?;
        }
        Ok(())
    }
}
