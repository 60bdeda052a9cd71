//! Progress: what a learner is told, computed from the stored days and scores as of a given instant.
//!
//! Weeks and streaks roll over without an event, so nothing that depends on the time is read from a table.

use std::collections::BTreeMap;

use careeros_shared::{
    Result,
    db::{Db, Tx},
    directory::Subject,
    proto::edutracker::{GetLearningProgressResponse, SkillMastery},
};
use chrono::{DateTime, Days, NaiveDate, Utc};
use uuid::Uuid;

use crate::{
    days::{self, Day, Run},
    learners, mastery, productivity,
};

/// Local days, today included, whose milestones and minutes say how things are going.
const RECENT_DAYS: u64 = 28;

/// How a user's learning goes; all zero for whoever has not begun.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The mean of the skills with evidence, 0 to 100.
    pub mastery_score: f64,
    /// Consecutive local days with activity, ending today or yesterday.
    pub streak_days: i32,
    /// Minutes of lessons completed in the current ISO week of the user's time zone.
    pub minutes_this_week: i32,
    /// 0 to 100, see [`productivity::score`].
    pub productivity_score: f64,
    /// Skills with their mastery, 0 to 100, best first.
    pub skills: Vec<(String, f64)>,
    /// Minutes of lessons completed in the last [`RECENT_DAYS`] days.
    recent_minutes: i32,
}

impl From<Progress> for GetLearningProgressResponse {
    fn from(progress: Progress) -> Self {
        let skill = |(skill_key, score)| SkillMastery { skill_key, score };
        Self {
            mastery_score: progress.mastery_score,
            streak_days: progress.streak_days,
            minutes_this_week: progress.minutes_this_week,
            productivity_score: progress.productivity_score,
            skills: progress.skills.into_iter().map(skill).collect(),
        }
    }
}

impl Progress {
    /// The minutes to expect of the next week: the mean week of the last four (a simple moving average).
    pub fn predicted_minutes(&self) -> i32 {
        self.recent_minutes / 4
    }
}

/// What is stored of a learner, as far as it can matter to an answer.
struct Row {
    user_id: Uuid,
    timezone: String,
    run_firsts: Vec<NaiveDate>,
    run_lasts: Vec<NaiveDate>,
    days: Vec<NaiveDate>,
    minutes: Vec<i64>,
    milestones: Vec<i32>,
    skill_keys: Vec<String>,
    scores: Vec<f64>,
}

impl Row {
    fn progress(self, now: DateTime<Utc>) -> Result<Progress> {
        let today = days::local_day(now, learners::zone(&self.timezone)?);
        let runs = self
            .run_firsts
            .into_iter()
            .zip(self.run_lasts)
            .map(|(first, last)| Run { first, last });
        let days = self.days.into_iter().zip(self.minutes).zip(self.milestones);
        let days: Vec<_> = days
            .map(|((day, minutes), milestones)| Day {
                day,
                minutes,
                milestones,
            })
            .collect();
        let recent = today.checked_sub_days(Days::new(RECENT_DAYS - 1)).unwrap_or(today)..=today;
        let milestones = days
            .iter()
            .filter(|day| recent.contains(&day.day))
            .map(|day| day.milestones)
            .sum();
        let mastery_score = mastery::mean(self.scores.iter().copied());
        let streak_days = days::streak(&runs.collect::<Vec<_>>(), today);
        let minutes_this_week = days::minutes_of_week(&days, today);
        Ok(Progress {
            mastery_score,
            streak_days,
            minutes_this_week,
            productivity_score: productivity::score(minutes_this_week, streak_days, milestones, mastery_score),
            skills: self.skill_keys.into_iter().zip(self.scores).collect(),
            recent_minutes: days::minutes_between(&days, *recent.start(), today),
        })
    }
}

/// Reads [`Row`]s of the learners `l` that `$from` names. The first parameter is the day in UTC; wherever the
/// learner is, it is at most one day more or less there.
macro_rules! rows {
    ($from:literal, $($parameter:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select l.user_id as "user_id!", l.timezone as "timezone!", r.firsts as "run_firsts!", r.lasts as "run_lasts!",
                      d.days as "days!", d.minutes as "minutes!", d.milestones as "milestones!",
                      m.skill_keys as "skill_keys!", m.scores as "scores!"
               from "# + $from + r#"
               cross join lateral (
                   select coalesce(array_agg(lower(run) order by run), '{}') as firsts,
                          coalesce(array_agg(upper(run) - 1 order by run), '{}') as lasts
                   from unnest(l.active_days) run where upper(run) - 1 >= $1::date - 2
               ) r
               cross join lateral (
                   select coalesce(array_agg(day order by day), '{}') as days,
                          coalesce(array_agg(minutes order by day), '{}') as minutes,
                          coalesce(array_agg(milestones order by day), '{}') as milestones
                   from activity_days
                   where tenant_id = l.tenant_id and user_id = l.user_id and day between $1::date - 28 and $1::date + 1
               ) d
               cross join lateral (
                   select coalesce(array_agg(skill_key order by score desc, skill_key), '{}') as skill_keys,
                          coalesce(array_agg(score::float8 order by score desc, skill_key), '{}') as scores
                   from mastery_scores where tenant_id = l.tenant_id and user_id = l.user_id
               ) m"#,
            $($parameter),+
        )
    };
}

/// The subject's progress as of `now`.
///
/// # Errors
/// 503 where the database is away.
pub async fn get(db: &Db, subject: Subject, now: DateTime<Utc>) -> Result<Progress> {
    let row = rows!(
        "app_scope($2) scope(tenant_id)
         cross join lateral (
             select * from learners where tenant_id = scope.tenant_id and user_id = $3 offset 0
         ) l",
        now.date_naive(),
        subject.tenant_id,
        subject.user_id,
    )
    .fetch_optional(db.pool())
    .await?;
    row.map_or_else(|| Ok(Progress::default()), |row| row.progress(now))
}

/// The progress of `user_ids` as of `now`, for the transaction that writes it.
///
/// # Errors
/// 503 where the database is away.
pub(crate) async fn of_learners(
    tx: &mut Tx,
    user_ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<BTreeMap<Uuid, Progress>> {
    let rows = rows!(
        "(select * from learners where user_id = any($2)) l",
        now.date_naive(),
        user_ids
    );
    let rows = rows.fetch_all(&mut **tx).await?;
    rows.into_iter()
        .map(|row| Ok((row.user_id, row.progress(now)?)))
        .collect()
}
