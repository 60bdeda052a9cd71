//! Days: activity summed per day in the learner's time zone, and what follows from the days: streak and week.

use std::collections::{BTreeMap, BTreeSet};

use careeros_shared::{Result, db::Tx, directory::Subject};
use chrono::{DateTime, Datelike, Days, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::{
    activity::{Activity, Deed, LESSON_MINUTES, MILESTONE_COMPLETED},
    learners::Learner,
};

/// What a learner did on one local day; there was activity, even where both sums are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The local day.
    pub day: NaiveDate,
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

/// The streak on the day `today`: how many consecutive days with activity end today or yesterday.
///
/// A streak is lost once a whole day has passed without activity. Days after `today` do not count yet.
pub fn streak(runs: &[Run], today: NaiveDate) -> i32 {
    let yesterday = today.pred_opt().unwrap_or(today);
    let current = runs.iter().find(|run| run.first <= today && run.last >= yesterday);
    let days = current.map_or(0, |run| {
        run.last.min(today).signed_duration_since(run.first).num_days() + 1
    });
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// Minutes of completed lessons in the ISO 8601 week (Monday to Sunday) that `today` is in, up to `today`.
pub fn minutes_of_week(days: &[Day], today: NaiveDate) -> i32 {
    let past = today.weekday().days_since(Weekday::Mon).into();
    let monday = today.checked_sub_days(Days::new(past)).unwrap_or(today);
    minutes_between(days, monday, today)
}

/// Minutes of completed lessons from `first` to `last`, both included.
pub fn minutes_between(days: &[Day], first: NaiveDate, last: NaiveDate) -> i32 {
    let minutes = days
        .iter()
        .filter(|day| (first..=last).contains(&day.day))
        .map(|day| day.minutes)
        .sum::<i64>();
    i32::try_from(minutes).unwrap_or(i32::MAX)
}

/// What is added to a day.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    minutes: i64,
    milestones: i32,
}

/// Sums by user and local day.
type Added = BTreeMap<(Uuid, NaiveDate), Sums>;

/// Adds `activities` to the days of `learners`.
///
/// # Errors
/// 503 where the database is away.
pub async fn add(tx: &mut Tx, learners: &BTreeMap<Uuid, Learner>, activities: &[&Activity]) -> Result<()> {
    let mut added = Added::new();
    for activity in activities {
        let Some(learner) = learners.get(&activity.user_id) else {
            continue;
        };
        let sums = added
            .entry((activity.user_id, local_day(activity.at, learner.zone)))
            .or_default();
        match activity.deed {
            Deed::Lesson { minutes, .. } => sums.minutes += i64::from(minutes),
            Deed::Milestone => sums.milestones += 1,
            Deed::Quiz { .. } | Deed::Course { .. } => {}
        }
    }
    insert(tx, learners, &added).await
}

/// Makes the days of the learners `moved` anew from the log, after their time zone has changed.
///
/// # Errors
/// 503 where the database is away.
pub async fn rebuild(tx: &mut Tx, learners: &BTreeMap<Uuid, Learner>, moved: &BTreeSet<Uuid>) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let user_ids: Vec<_> = moved.iter().copied().collect();
    sqlx::query!("delete from activity_days where user_id = any($1)", &user_ids)
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "update learners set active_days = '{}' where user_id = any($1)",
        &user_ids
    )
    .execute(&mut **tx)
    .await?;
    let logged = sqlx::query!(
        r#"select user_id, recorded_at, metric_key, metric_value::float8::bigint as "value!"
           from progress_logs where user_id = any($1)"#,
        &user_ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut added = Added::new();
    for row in logged {
        let Some(learner) = learners.get(&row.user_id) else {
            continue;
        };
        let sums = added
            .entry((row.user_id, local_day(row.recorded_at, learner.zone)))
            .or_default();
        match row.metric_key.as_str() {
            LESSON_MINUTES => sums.minutes += row.value,
            MILESTONE_COMPLETED => sums.milestones += 1,
            _ => {}
        }
    }
    insert(tx, learners, &added).await
}

async fn insert(tx: &mut Tx, learners: &BTreeMap<Uuid, Learner>, added: &Added) -> Result<()> {
    if added.is_empty() {
        return Ok(());
    }
    let subject = |user_id: &Uuid| learners.get(user_id).map(|learner| learner.subject);
    let rows: Vec<(Subject, NaiveDate, Sums)> = added
        .iter()
        .filter_map(|((user_id, day), sums)| Some((subject(user_id)?, *day, *sums)))
        .collect();
    let user_ids: Vec<_> = rows.iter().map(|(subject, ..)| subject.user_id).collect();
    let days: Vec<_> = rows.iter().map(|(_, day, _)| *day).collect();
    sqlx::query!(
        "insert into activity_days as d (user_id, day, tenant_id, minutes, milestones)
         select user_id, day, tenant_id, minutes, milestones
         from unnest($1::uuid[], $2::date[], $3::uuid[], $4::bigint[], $5::integer[])
             as n(user_id, day, tenant_id, minutes, milestones)
         on conflict on constraint activity_days_pkey do update
         set minutes = d.minutes + excluded.minutes, milestones = d.milestones + excluded.milestones",
        &user_ids,
        &days,
        &rows.iter().map(|(subject, ..)| subject.tenant_id).collect::<Vec<_>>(),
        &rows.iter().map(|(.., sums)| sums.minutes).collect::<Vec<_>>(),
        &rows.iter().map(|(.., sums)| sums.milestones).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
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
        Run {
            first: day(first),
            last: day(last),
        }
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
    fn a_week_begins_on_the_learners_monday_also_across_the_year() {
        let on = |text: &str, minutes| Day {
            day: day(text),
            minutes,
            milestones: 0,
        };
        // 2025-12-29 is the Monday of ISO week 1 of 2026.
        let days = [
            on("2025-12-28", 1),
            on("2025-12-29", 2),
            on("2026-01-01", 4),
            on("2026-01-04", 8),
            on("2026-01-05", 16),
        ];
        for (today, minutes) in [
            ("2025-12-28", 1),
            ("2025-12-29", 2),
            ("2026-01-01", 6),
            ("2026-01-04", 14),
            ("2026-01-05", 16),
            ("2026-01-12", 0),
        ] {
            assert_eq!(minutes_of_week(&days, day(today)), minutes, "{today}");
        }
    }

    #[test]
    fn a_sum_beyond_the_wires_range_is_the_largest_value() {
        let days = [Day {
            day: day("2026-01-05"),
            minutes: i64::from(u32::MAX),
            milestones: 0,
        }];
        assert_eq!(minutes_of_week(&days, day("2026-01-05")), i32::MAX);
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
