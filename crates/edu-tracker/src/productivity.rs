//! Productivity: a learner's week in one number, kept with streak and minutes as of the last event for reports.

use std::collections::BTreeMap;

use careeros_shared::{
    Result,
    context::Context,
    db::Tx,
    events::{ProductivityScoreComputed, StreakUpdated},
    id, outbox,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    learners::Learner,
    mastery::percent,
    progress::{self, Progress},
};

/// Lesson minutes in a week that are worth the full share: an hour on each working day.
pub const MINUTES_TARGET: i32 = 300;
/// Streak days that are worth the full share.
pub const STREAK_TARGET: i32 = 7;
/// Milestones in [`progress::RECENT_WEEKS`] weeks that are worth the full share.
pub const MILESTONES_TARGET: i32 = 2;

/// Learners recomputed by one statement at the most.
const CHUNK: usize = 5000;

/// The productivity score, 0 to 100 with two decimals: a weighted sum of four shares, each of its target and 1 at the most
/// (simple additive weighting, C.-L. Hwang and K. Yoon, "Multiple Attribute Decision Making", 1981):
///
/// 100 · (0.40 · minutes this week / [`MINUTES_TARGET`] + 0.30 · streak / [`STREAK_TARGET`]
/// + 0.15 · milestones in this and the three ISO weeks before / [`MILESTONES_TARGET`] + 0.15 · mastery score / 100)
pub fn score(minutes_this_week: i32, streak_days: i32, milestones: i32, mastery_score: f64) -> f64 {
    let share = |value: i32, target: i32| (f64::from(value) / f64::from(target)).clamp(0.0, 1.0);
    percent(
        0.40 * share(minutes_this_week, MINUTES_TARGET)
            + 0.30 * share(streak_days, STREAK_TARGET)
            + 0.15 * share(milestones, MILESTONES_TARGET)
            + 0.15 * mastery_score / 100.0,
    )
}

/// What is stored of a learner.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Metrics {
    streak_days: i32,
    weekly_minutes: i32,
    productivity_score: f64,
}

impl From<&Progress> for Metrics {
    fn from(progress: &Progress) -> Self {
        Self {
            streak_days: progress.streak_days,
            weekly_minutes: progress.minutes_this_week,
            productivity_score: progress.productivity_score,
        }
    }
}

/// Computes the metrics of `learners` anew as of `context.now` and returns the events for what has changed.
///
/// # Errors
/// 503 where the database is away.
pub async fn recompute(tx: &mut Tx, context: &Context, learners: &BTreeMap<Uuid, Learner>) -> Result<Vec<outbox::Row>> {
    let learners: Vec<_> = learners.values().copied().collect();
    let mut events = Vec::new();
    for chunk in learners.chunks(CHUNK) {
        let user_ids: Vec<_> = chunk.iter().map(|learner| learner.subject.user_id).collect();
        let old = load(tx, &user_ids).await?;
        let new = progress::of_learners(tx, &user_ids, context.now).await?;
        for learner in chunk {
            let user_id = learner.subject.user_id;
            let old = old.get(&user_id).copied().unwrap_or_default();
            let new = new.get(&user_id).map(Metrics::from).unwrap_or_default();
            if new.streak_days != old.streak_days {
                let event = StreakUpdated { user_id, streak_days: new.streak_days.unsigned_abs() };
                events.push(outbox::Row::new(context, learner.subject, &event)?);
            }
            if (Metrics { streak_days: 0, ..new }) != (Metrics { streak_days: 0, ..old }) {
                let event = ProductivityScoreComputed {
                    user_id,
                    productivity_score: new.productivity_score,
                    weekly_minutes: new.weekly_minutes.unsigned_abs(),
                };
                events.push(outbox::Row::new(context, learner.subject, &event)?);
            }
        }
        store(tx, context, chunk, &new).await?;
    }
    Ok(events)
}

async fn load(tx: &mut Tx, user_ids: &[Uuid]) -> Result<BTreeMap<Uuid, Metrics>> {
    let rows = sqlx::query!(
        r#"select user_id, streak_days, weekly_minutes, productivity_score::float8 as "productivity_score!"
           from productivity_metrics where user_id = any($1)"#,
        user_ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let metrics = rows.into_iter().map(|row| {
        let (streak_days, weekly_minutes) = (row.streak_days, row.weekly_minutes);
        (row.user_id, Metrics { streak_days, weekly_minutes, productivity_score: row.productivity_score })
    });
    Ok(metrics.collect())
}

async fn store(
    tx: &mut Tx,
    context: &Context,
    learners: &[Learner],
    progress: &BTreeMap<Uuid, Progress>,
) -> Result<()> {
    let rows: Vec<_> = learners
        .iter()
        .filter_map(|learner| Some((learner.subject, progress.get(&learner.subject.user_id)?)))
        .collect();
    let prediction = |progress: &Progress| json!({"next_week_minutes": progress.predicted_minutes()});
    sqlx::query!(
        "insert into productivity_metrics
             (id, tenant_id, user_id, streak_days, weekly_minutes, productivity_score, prediction_json, computed_at)
         select id, tenant_id, user_id, streak_days, weekly_minutes, productivity_score, prediction_json, $8
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::integer[], $6::float8[], $7::jsonb[])
             as n(id, tenant_id, user_id, streak_days, weekly_minutes, productivity_score, prediction_json)
         on conflict on constraint productivity_metrics_user_id_key do update
         set streak_days = excluded.streak_days, weekly_minutes = excluded.weekly_minutes,
             productivity_score = excluded.productivity_score, prediction_json = excluded.prediction_json,
             computed_at = excluded.computed_at",
        &rows.iter().map(|_| id::new(context.now)).collect::<Vec<_>>(),
        &rows.iter().map(|(subject, _)| subject.tenant_id).collect::<Vec<_>>(),
        &rows.iter().map(|(subject, _)| subject.user_id).collect::<Vec<_>>(),
        &rows.iter().map(|(_, progress)| progress.streak_days).collect::<Vec<_>>(),
        &rows.iter().map(|(_, progress)| progress.minutes_this_week).collect::<Vec<_>>(),
        &rows.iter().map(|(_, progress)| progress.productivity_score).collect::<Vec<_>>(),
        &rows.iter().map(|(_, progress)| prediction(progress)).collect::<Vec<_>>(),
        context.now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_part_has_its_weight_and_stops_at_its_target() {
        for (minutes, streak, milestones, mastery, expected) in [
            (0, 0, 0, 0.0, 0.0),
            (150, 0, 0, 0.0, 20.0),
            (0, 7, 0, 0.0, 30.0),
            (0, 0, 1, 0.0, 7.5),
            (0, 0, 0, 40.0, 6.0),
            (100, 1, 0, 0.0, 17.62),
            (i32::MAX, i32::MAX, i32::MAX, 100.0, 100.0),
        ] {
            assert!((score(minutes, streak, milestones, mastery) - expected).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn more_of_anything_never_lowers_the_score(minutes in 0..1000, streak in 0..20, milestones in 0..5, mastery in 0.0..100.0) {
            let base = score(minutes, streak, milestones, mastery);
            prop_assert!((0.0..=100.0).contains(&base));
            prop_assert!(score(minutes + 1, streak, milestones, mastery) >= base);
            prop_assert!(score(minutes, streak + 1, milestones, mastery) >= base);
            prop_assert!(score(minutes, streak, milestones + 1, mastery) >= base);
            prop_assert!(score(minutes, streak, milestones, (mastery + 1.0_f64).min(100.0)) >= base);
        }
    }
}
