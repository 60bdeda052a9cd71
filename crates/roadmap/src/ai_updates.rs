//! What AI core tells of its flows: a generated roadmap becomes a draft, an analysed skill gap is kept for the next roadmap.

use careeros_shared::{
    Result,
    consumer::Handler,
    db::Tx,
    error::Error,
    events::{Envelope, Event, RoadmapDraftGenerated, SkillGapAnalyzed},
    projection::Projection,
};
use chrono::{DateTime, SubsecRound, Utc};

use crate::{
    drafts::{self, Generated},
    skill_gaps::{self, SkillGap},
};

/// The consumer group.
pub const GROUP: &str = "roadmap-ai-updates-v1";

/// What the group keeps. Drafts are not in it: once made, they are their users' to change and to delete.
pub const PROJECTION: Projection = Projection {
    group: GROUP,
    topics: &[RoadmapDraftGenerated::TOPIC, SkillGapAnalyzed::TOPIC],
    tables: &["skill_gaps"],
    queues: &[],
    reads: &[],
    afterwards: &[],
};

/// When the event happened, as finely as PostgreSQL can tell: events that it takes for simultaneous are so in a batch, too.
pub(crate) fn instant(envelope: &Envelope) -> DateTime<Utc> {
    envelope.occurred_at.trunc_subsecs(6)
}

/// Applies AI core's events. Drafts are made once per execution, and of skill gaps the newest wins, so the order in which
/// events arrive does not matter.
#[derive(Debug, Clone, Copy)]
pub struct AiUpdates;

impl Handler for AiUpdates {
    async fn apply(&self, tx: &mut Tx, events: &[Envelope]) -> Result<()> {
        let (mut generated, mut gaps) = (Vec::new(), Vec::new());
        for envelope in events {
            match envelope.event_type.as_str() {
                RoadmapDraftGenerated::TYPE => generated.push(Generated::read(envelope)?),
                SkillGapAnalyzed::TYPE => gaps.push(SkillGap::read(envelope)?),
                other => return Err(Error::invalid("event_type", format!("{other} is none that this consumer knows"))),
            }
        }
        if !generated.is_empty() {
            drafts::insert_generated(tx, generated).await?;
        }
        if !gaps.is_empty() {
            skill_gaps::store(tx, gaps).await?;
        }
        Ok(())
    }
}
