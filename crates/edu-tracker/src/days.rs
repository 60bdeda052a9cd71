//! Days and weeks: activity by the calendar of the learner's time zone, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use careeros_shared::{Result, db::Tx};
use chrono::{DateTime, Datelike, Days, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::{
    activity::{Activity, Deed, LESSON_MINUTES, MILESTONE_COMPLETED},
    learners::Learner,
};

/// What a learner did in one ISO 8601 week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week {
    /// The local day that the week begins on.
    pub monday: NaiveDate,
    /// Minutes of completed lessons.
    pub minutes: i64,
    /// Milestones reached.
    pub milestones: i32,
}

/// Local days in a row, each with activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first day.
    pub first: NaiveDate,
    /// The last day.
    pub last: NaiveDate,
}

/// The day that it is at `at` in `zone`.
pub fn local_day(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// The Monday of the ISO 8601 week that `day` is in.
pub fn monday(day: NaiveDate) -> NaiveDate {
    let past = day.weekday().days_since(Weekday::Mon).into();
    day.checked_sub_days(Days::new(past)).unwrap_or(day)
}

/// The streak on the day `today`: how many consecutive days with activity end today or yesterday.
///
/// A streak is lost once a whole day has passed without activity. Days after `today` do not count yet.
pub fn streak(runs: &[Run], today: NaiveDate) -> i32 {
    let yesterday = today.pred_opt().unwrap_or(today);
    let current = runs.iter().find(|run| run.first <= today && run.last >= yesterday);
    let days = current.map_or(0, |run| run.last.min(today).signed_duration_since(run.first).num_days() + 1);
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// Minutes and milestones of the `count` ISO weeks up to and including the one that `today` is in.
pub fn recent(weeks: &[Week], today: NaiveDate, count: u8) -> (i32, i32) {
    let last = monday(today);
    let first = last.checked_sub_days(Days::new(7 * u64::from(count.saturating_sub(1)))).unwrap_or(last);
    let recent = || weeks.iter().filter(|week| (first..=last).contains(&week.monday));
    let minutes = recent().map(|week| week.minutes).sum::<i64>();
    let milestones = recent().map(|week| i64::from(week.milestones)).sum::<i64>();
    (i32::try_from(minutes).unwrap_or(i32::MAX), i32::try_from(milestones).unwrap_or(i32::MAX))
}

/// Activity that is added to days and weeks.
#[derive(Debug, Default)]
struct Added {
    days: BTreeSet<(Uuid, NaiveDate)>,
    /// By user and Monday: the tenant, minutes and milestones.
    weeks: BTreeMap<(Uuid, NaiveDate), (Uuid, i64, i32)>,
}

impl Added {
    fn add(&mut self, learner: &Learner, at: DateTime<Utc>, minutes: i64, milestones: i32) {
        let day = local_day(at, learner.zone);
        let (user_id, tenant_id) = (learner.subject.user_id, learner.subject.tenant_id);
        self.days.insert((user_id, day));
        let week = self.weeks.entry((user_id, monday(day))).or_insert((tenant_id, 0, 0));
        week.1 += minutes;
        week.2 += milestones;
    }
}

/// Adds `activities` to the days and weeks of `learners`.
///
/// # Errors
/// 503 where the database is away.
pub async fn add(tx: &mut Tx, learners: &BTreeMap<Uuid, Learner>, activities: &[&Activity]) -> Result<()> {
    let mut added = Added::default();
    for activity in activities {
        let Some(learner) = learners.get(&activity.user_id) else {
            continue;
        };
        match activity.deed {
            Deed::Lesson { minutes, .. } => added.add(learner, activity.at, minutes.into(), 0),
            Deed::Milestone => added.add(learner, activity.at, 0, 1),
            Deed::Quiz { .. } | Deed::Course { .. } => added.add(learner, activity.at, 0, 0),
        }
    }
    insert(tx, added).await
}

/// Makes days and weeks of the learners `moved` anew from the log, after their time zone has changed.
///
/// # Errors
/// 503 where the database is away.
pub async fn rebuild(tx: &mut Tx, learners: &BTreeMap<Uuid, Learner>, moved: &BTreeSet<Uuid>) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let user_ids: Vec<_> = moved.iter().copied().collect();
    sqlx::query!("delete from activity_weeks where user_id = any($1)", &user_ids).execute(&mut **tx).await?;
    sqlx::query!("update learners set active_days = '{}' where user_id = any($1)", &user_ids)
        .execute(&mut **tx)
        .await?;
    let logged = sqlx::query!(
        r#"select user_id, recorded_at, metric_key, metric_value::float8::bigint as "value!"
           from progress_logs where user_id = any($1)"#,
        &user_ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut added = Added::default();
    for row in logged {
        let Some(learner) = learners.get(&row.user_id) else {
            continue;
        };
        match row.metric_key.as_str() {
            LESSON_MINUTES => added.add(learner, row.recorded_at, row.value, 0),
            MILESTONE_COMPLETED => added.add(learner, row.recorded_at, 0, 1),
            _ => added.add(learner, row.recorded_at, 0, 0),
        }
    }
    insert(tx, added).await
}

async fn insert(tx: &mut Tx, added: Added) -> Result<()> {
    if added.days.is_empty() {
        return Ok(());
    }
    let (weeks, sums): (Vec<_>, Vec<_>) = added.weeks.into_iter().unzip();
    sqlx::query!(
        "insert into activity_weeks as w (user_id, monday, tenant_id, minutes, milestones)
         select user_id, monday, tenant_id, minutes, milestones
         from unnest($1::uuid[], $2::date[], $3::uuid[], $4::bigint[], $5::integer[])
             as n(user_id, monday, tenant_id, minutes, milestones)
         on conflict on constraint activity_weeks_pkey do update
         set minutes = w.minutes + excluded.minutes, milestones = w.milestones + excluded.milestones",
        &weeks.iter().map(|(user_id, _)| *user_id).collect::<Vec<_>>(),
        &weeks.iter().map(|(_, monday)| *monday).collect::<Vec<_>>(),
        &sums.iter().map(|(tenant_id, ..)| *tenant_id).collect::<Vec<_>>(),
        &sums.iter().map(|(_, minutes, _)| *minutes).collect::<Vec<_>>(),
        &sums.iter().map(|(.., milestones)| *milestones).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    let (user_ids, days): (Vec<_>, Vec<_>) = added.days.into_iter().unzip();
    sqlx::query!(
        "update learners l set active_days = l.active_days + n.days
         from (select user_id, range_agg(daterange(day, day + 1)) as days
               from unnest($1::uuid[], $2::date[]) as n(user_id, day) group by user_id) n
         where l.user_id = n.user_id and not l.active_days @> n.days",
        &user_ids,
        &days,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn run(first: &str, last: &str) -> Run {
        Run { first: day(first), last: day(last) }
    }

    #[test]
    fn the_local_day_follows_zone_and_daylight_saving_time() {
        for (instant, zone, local) in [
            ("2026-01-05T04:59:59Z", Tz::America__New_York, "2026-01-04"),
            ("2026-01-05T05:00:00Z", Tz::America__New_York, "2026-01-05"),
            // In summer the day begins an hour earlier in UTC.
            ("2026-07-06T04:00:00Z", Tz::America__New_York, "2026-07-06"),
            // The night of the change to summer time in Berlin: 2026-03-29 has 23 hours, the next day begins at 22:00 UTC.
            ("2026-03-28T23:00:00Z", Tz::Europe__Berlin, "2026-03-29"),
            ("2026-03-29T21:59:59Z", Tz::Europe__Berlin, "2026-03-29"),
            ("2026-03-29T22:00:00Z", Tz::Europe__Berlin, "2026-03-30"),
            // And back: 2026-10-25 has 25 hours.
            ("2026-10-24T22:00:00Z", Tz::Europe__Berlin, "2026-10-25"),
            ("2026-10-25T22:59:59Z", Tz::Europe__Berlin, "2026-10-25"),
            ("2026-10-25T23:00:00Z", Tz::Europe__Berlin, "2026-10-26"),
            ("2026-01-05T10:00:00Z", Tz::Pacific__Kiritimati, "2026-01-06"),
            ("2026-01-05T18:15:00Z", Tz::Asia__Kathmandu, "2026-01-06"),
        ] {
            assert_eq!(local_day(at(instant), zone), day(local), "{instant} in {zone}");
        }
    }

    #[test]
    fn a_week_begins_on_monday_also_across_the_year() {
        // ISO week 1 of 2026 begins in 2025; 2020 has 53 weeks, and the last one ends in 2021.
        for (from, to) in [("2025-12-29", "2026-01-04"), ("2026-01-05", "2026-01-11"), ("2020-12-28", "2021-01-03")] {
            for date in day(from).iter_days().take(7) {
                assert_eq!(monday(date), day(from), "{date}");
            }
            assert_eq!(monday(day(to)), day(from));
        }
    }

    #[test]
    fn recent_weeks_end_with_the_current_one() {
        let week = |monday: &str, minutes, milestones| Week { monday: day(monday), minutes, milestones };
        let weeks =
            [week("2025-12-15", 1, 1), week("2025-12-29", 2, 0), week("2026-01-05", 4, 2), week("2026-01-12", 8, 4)];
        assert_eq!(recent(&weeks, day("2026-01-04"), 1), (2, 0));
        assert_eq!(recent(&weeks, day("2026-01-05"), 1), (4, 2));
        assert_eq!(recent(&weeks, day("2026-01-11"), 4), (7, 3));
        assert_eq!(recent(&weeks, day("2026-01-19"), 1), (0, 0));
    }

    #[test]
    fn a_sum_beyond_the_wires_range_is_the_largest_value() {
        let weeks = [Week { monday: day("2026-01-05"), minutes: i64::from(u32::MAX), milestones: 0 }];
        assert_eq!(recent(&weeks, day("2026-01-05"), 1), (i32::MAX, 0));
    }

    #[test]
    fn a_streak_lives_until_a_whole_day_has_passed_without_activity() {
        let runs = [run("2026-01-01", "2026-01-02"), run("2026-01-04", "2026-01-06")];
        for (today, days) in [
            ("2025-12-31", 0),
            ("2026-01-01", 1),
            ("2026-01-02", 2),
            ("2026-01-03", 2),
            ("2026-01-04", 1),
            ("2026-01-06", 3),
            ("2026-01-07", 3),
            ("2026-01-08", 0),
        ] {
            assert_eq!(streak(&runs, day(today)), days, "{today}");
        }
    }

    proptest! {
        #[test]
        fn a_streak_counts_back_from_today_or_yesterday_to_the_first_gap(active in prop::collection::btree_set(0_u64..40, 0..40), now in 1_u64..45) {
            let epoch = day("2026-01-01");
            let date = |n: u64| epoch + Days::new(n);
            let mut runs: Vec<Run> = Vec::new();
            for n in &active {
                match runs.last_mut() {
                    Some(run) if run.last + Days::new(1) == date(*n) => run.last = date(*n),
                    _ => runs.push(Run { first: date(*n), last: date(*n) }),
                }
            }
            let end = if active.contains(&now) { now } else { now - 1 };
            let expected = (0..=end).rev().take_while(|n| active.contains(n)).count();
            prop_assert_eq!(usize::try_from(streak(&runs, date(now))).unwrap(), expected);
        }
    }
}
