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
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::{
    days::{self, Run, Week},
    learners, mastery, productivity,
};

/// ISO weeks, the current one included, whose milestones and minutes say how things are going.
pub const RECENT_WEEKS: u8 = 4;

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
    /// Minutes of lessons completed in the last [`RECENT_WEEKS`] weeks.
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
        self.recent_minutes / i32::from(RECENT_WEEKS)
    }
}

/// What is stored of a learner, as far as it can matter to an answer.
struct Row {
    user_id: Uuid,
    timezone: String,
    run_firsts: Vec<NaiveDate>,
    run_lasts: Vec<NaiveDate>,
    mondays: Vec<NaiveDate>,
    minutes: Vec<i64>,
    milestones: Vec<i32>,
    skill_keys: Vec<String>,
    scores: Vec<f64>,
}

impl Row {
    fn progress(self, now: DateTime<Utc>) -> Result<Progress> {
        let today = days::local_day(now, learners::zone(&self.timezone)?);
        let runs = self.run_firsts.into_iter().zip(self.run_lasts).map(|(first, last)| Run { first, last });
        let weeks = self.mondays.into_iter().zip(self.minutes).zip(self.milestones);
        let weeks: Vec<_> = weeks.map(|((monday, minutes), milestones)| Week { monday, minutes, milestones }).collect();
        let streak_days = days::streak(&runs.collect::<Vec<_>>(), today);
        let (minutes_this_week, _) = days::recent(&weeks, today, 1);
        let (recent_minutes, milestones) = days::recent(&weeks, today, RECENT_WEEKS);
        let mastery_score = mastery::mean(self.scores.iter().copied());
        Ok(Progress {
            mastery_score,
            streak_days,
            minutes_this_week,
            productivity_score: productivity::score(minutes_this_week, streak_days, milestones, mastery_score),
            skills: self.skill_keys.into_iter().zip(self.scores).collect(),
            recent_minutes,
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
                      w.mondays as "mondays!", w.minutes as "minutes!", w.milestones as "milestones!",
                      m.skill_keys as "skill_keys!", m.scores as "scores!"
               from "# + $from + r#"
               cross join lateral (
                   select coalesce(array_agg(lower(run)), '{}') as firsts, coalesce(array_agg(upper(run) - 1), '{}') as lasts
                   from unnest(l.active_days) run where upper(run) - 1 >= $1::date - 2
               ) r
               cross join lateral (
                   select coalesce(array_agg(monday), '{}') as mondays, coalesce(array_agg(minutes), '{}') as minutes,
                          coalesce(array_agg(milestones), '{}') as milestones
                   from activity_weeks
                   where tenant_id = l.tenant_id and user_id = l.user_id
                     and monday between $1::date - 28 and $1::date + 1
               ) w
               cross join lateral (
                   select coalesce(array_agg(skill_key), '{}') as skill_keys, coalesce(array_agg(score), '{}') as scores
                   from (select skill_key, score::float8 from mastery_scores
                         where tenant_id = l.tenant_id and user_id = l.user_id order by score desc, skill_key) skills
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
    .fetch_optional(db)
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
    let rows = rows!("(select * from learners where user_id = any($2)) l", now.date_naive(), user_ids);
    let rows = rows.fetch_all(&mut **tx).await?;
    rows.into_iter().map(|row| Ok((row.user_id, row.progress(now)?))).collect()
}
