//! Evidence: what speaks for and against a learner's skill, summed per UTC day.

use std::collections::{BTreeMap, BTreeSet};

use careeros_shared::{Result, db::Tx};
use chrono::{DateTime, NaiveDate};
use uuid::Uuid;

use crate::{
    activity::{Activity, COURSE_COMPLETED, Deed, LESSON_MINUTES},
    catalogue::{Catalogue, Retaught},
};

/// The evidence of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Completed lessons that teach the skill.
    pub lessons: i32,
    /// Completed courses that teach the skill.
    pub courses: i32,
    /// Quiz items on the skill answered wrongly.
    pub incorrect: i32,
    /// Quiz items on the skill answered correctly.
    pub correct: i32,
}

/// Users' skills whose evidence has changed, each with the first day on which it has.
#[derive(Debug, Default)]
pub struct Touched(pub BTreeMap<(Uuid, String), NaiveDate>);

impl Touched {
    fn add(&mut self, user_id: Uuid, skill_key: String, day: NaiveDate) {
        let first = self.0.entry((user_id, skill_key)).or_insert(day);
        *first = day.min(*first);
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for ((user_id, skill_key), day) in other.0 {
            self.add(user_id, skill_key, day);
        }
        self
    }
}

/// Adds what `activities` say of skills.
///
/// # Errors
/// 503 where the database is away.
pub async fn add(tx: &mut Tx, catalogue: &Catalogue, activities: &[Activity]) -> Result<Touched> {
    let mut added: BTreeMap<(Uuid, &str, NaiveDate), (Uuid, Evidence)> = BTreeMap::new();
    for activity in activities {
        let mut note = |skill_key, evidence: fn(&mut Evidence) -> &mut i32| {
            let key = (activity.user_id, skill_key, activity.at.date_naive());
            let (_, sums) = added.entry(key).or_insert((activity.tenant_id, Evidence::default()));
            *evidence(sums) += 1;
        };
        match &activity.deed {
            Deed::Lesson { course_id, lesson_id, .. } => {
                catalogue.lesson(*course_id, *lesson_id).into_iter().for_each(|skill| note(skill, |e| &mut e.lessons));
            }
            Deed::Course { course_id } => {
                catalogue.course(*course_id).into_iter().for_each(|skill| note(skill, |e| &mut e.courses));
            }
            Deed::Quiz { answers, .. } => {
                for (skill, correct) in answers.iter().filter(|(skill, _)| !skill.trim().is_empty()) {
                    note(skill, if *correct { |e| &mut e.correct } else { |e| &mut e.incorrect });
                }
            }
            Deed::Milestone => {}
        }
    }
    let (keys, sums): (Vec<_>, Vec<_>) = added.into_iter().unzip();
    if keys.is_empty() {
        return Ok(Touched::default());
    }
    sqlx::query!(
        "insert into skill_days as d (user_id, skill_key, day, tenant_id, lessons, courses, incorrect, correct)
         select user_id, skill_key, day, tenant_id, lessons, courses, incorrect, correct
         from unnest($1::uuid[], $2::text[], $3::date[], $4::uuid[], $5::integer[], $6::integer[], $7::integer[],
                     $8::integer[]) as n(user_id, skill_key, day, tenant_id, lessons, courses, incorrect, correct)
         on conflict on constraint skill_days_pkey do update
         set lessons = d.lessons + excluded.lessons, courses = d.courses + excluded.courses,
             incorrect = d.incorrect + excluded.incorrect, correct = d.correct + excluded.correct",
        &keys.iter().map(|(user_id, ..)| *user_id).collect::<Vec<_>>(),
        &keys.iter().map(|(_, skill_key, _)| (*skill_key).to_owned()).collect::<Vec<_>>(),
        &keys.iter().map(|(.., day)| *day).collect::<Vec<_>>(),
        &sums.iter().map(|(tenant_id, _)| *tenant_id).collect::<Vec<_>>(),
        &sums.iter().map(|(_, evidence)| evidence.lessons).collect::<Vec<_>>(),
        &sums.iter().map(|(_, evidence)| evidence.courses).collect::<Vec<_>>(),
        &sums.iter().map(|(_, evidence)| evidence.incorrect).collect::<Vec<_>>(),
        &sums.iter().map(|(_, evidence)| evidence.correct).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    let mut touched = Touched::default();
    for (user_id, skill_key, day) in keys {
        touched.add(user_id, skill_key.to_owned(), day);
    }
    Ok(touched)
}

/// What the queries below need of changes in the catalogue, as columns.
struct Columns {
    course_ids: Vec<Uuid>,
    /// The lesson, or the course where it is about the course.
    taught_ids: Vec<Uuid>,
    metric_keys: Vec<String>,
    skill_keys: Vec<String>,
}

impl Columns {
    fn of<'a>(changes: impl Iterator<Item = &'a Retaught>) -> Self {
        let mut columns =
            Self { course_ids: Vec::new(), taught_ids: Vec::new(), metric_keys: Vec::new(), skill_keys: Vec::new() };
        for change in changes {
            let metric = if change.lesson_id.is_some() { LESSON_MINUTES } else { COURSE_COMPLETED };
            columns.course_ids.push(change.course_id);
            columns.taught_ids.push(change.lesson_id.unwrap_or(change.course_id));
            columns.metric_keys.push(metric.to_owned());
            columns.skill_keys.push(change.skill_key.clone());
        }
        columns
    }
}

/// Who has completed something that teaches otherwise now, with their tenants.
///
/// # Errors
/// 503 where the database is away.
pub async fn learners_of(tx: &mut Tx, changes: &[Retaught]) -> Result<Vec<(Uuid, Uuid)>> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let changes = Columns::of(changes.iter());
    let rows = sqlx::query!(
        r#"select distinct l.user_id as "user_id!", l.tenant_id as "tenant_id!"
         from unnest($1::uuid[], $2::uuid[], $3::text[]) as c(course_id, taught_id, metric_key)
         cross join lateral (
             select user_id, tenant_id from progress_logs
             where metric_key = 'lesson_minutes' and c.metric_key = 'lesson_minutes'
               and lesson_id = c.taught_id and course_id = c.course_id
             union all
             select user_id, tenant_id from progress_logs
             where metric_key = 'course_completed' and c.metric_key = 'course_completed'
               and course_id = c.course_id
         ) l"#,
        &changes.course_ids,
        &changes.taught_ids,
        &changes.metric_keys,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.tenant_id)).collect())
}

/// Corrects the evidence of what was completed before the catalogue changed.
///
/// # Errors
/// 503 where the database is away.
pub async fn reteach(tx: &mut Tx, changes: &[Retaught]) -> Result<Touched> {
    let mut touched = Touched::default();
    if changes.is_empty() {
        return Ok(touched);
    }
    let now = Columns::of(changes.iter().filter(|change| change.now));
    let added = sqlx::query!(
        "insert into skill_days as d (user_id, skill_key, day, tenant_id, lessons, courses, incorrect, correct)
         select l.user_id, c.skill_key, (l.recorded_at at time zone 'UTC')::date, l.tenant_id,
                count(*) filter (where c.metric_key = 'lesson_minutes'),
                count(*) filter (where c.metric_key = 'course_completed'), 0, 0
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) as c(course_id, taught_id, metric_key, skill_key)
         cross join lateral (
             select user_id, tenant_id, recorded_at from progress_logs
             where metric_key = 'lesson_minutes' and c.metric_key = 'lesson_minutes'
               and lesson_id = c.taught_id and course_id = c.course_id
             union all
             select user_id, tenant_id, recorded_at from progress_logs
             where metric_key = 'course_completed' and c.metric_key = 'course_completed'
               and course_id = c.course_id
         ) l
         group by 1, 2, 3, 4
         on conflict on constraint skill_days_pkey do update
         set lessons = d.lessons + excluded.lessons, courses = d.courses + excluded.courses
         returning user_id, skill_key, day",
        &now.course_ids,
        &now.taught_ids,
        &now.metric_keys,
        &now.skill_keys,
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in added {
        touched.add(row.user_id, row.skill_key, row.day);
    }
    let no_longer = Columns::of(changes.iter().filter(|change| !change.now));
    let removed = sqlx::query!(
        "update skill_days d set lessons = d.lessons - n.lessons, courses = d.courses - n.courses
         from (select l.user_id, c.skill_key, (l.recorded_at at time zone 'UTC')::date as day,
                      count(*) filter (where c.metric_key = 'lesson_minutes') as lessons,
                      count(*) filter (where c.metric_key = 'course_completed') as courses
               from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
                   as c(course_id, taught_id, metric_key, skill_key)
               cross join lateral (
                   select user_id, recorded_at from progress_logs
                   where metric_key = 'lesson_minutes' and c.metric_key = 'lesson_minutes'
                     and lesson_id = c.taught_id and course_id = c.course_id
                   union all
                   select user_id, recorded_at from progress_logs
                   where metric_key = 'course_completed' and c.metric_key = 'course_completed'
                     and course_id = c.course_id
               ) l
               group by 1, 2, 3) n
         where d.user_id = n.user_id and d.skill_key = n.skill_key and d.day = n.day
         returning d.user_id, d.skill_key",
        &no_longer.course_ids,
        &no_longer.taught_ids,
        &no_longer.metric_keys,
        &no_longer.skill_keys,
    )
    .fetch_all(&mut **tx)
    .await?;
    let removed: BTreeSet<(Uuid, String)> = removed.into_iter().map(|row| (row.user_id, row.skill_key)).collect();
    let (user_ids, skill_keys): (Vec<_>, Vec<_>) = removed.into_iter().unzip();
    sqlx::query!(
        "delete from skill_days d using unnest($1::uuid[], $2::text[]) as t(user_id, skill_key)
         where d.user_id = t.user_id and d.skill_key = t.skill_key
           and (d.lessons, d.courses, d.incorrect, d.correct) = (0, 0, 0, 0)",
        &user_ids,
        &skill_keys,
    )
    .execute(&mut **tx)
    .await?;
    // Days may be gone, so these are computed from the beginning.
    for (user_id, skill_key) in user_ids.into_iter().zip(skill_keys) {
        touched.add(user_id, skill_key, DateTime::UNIX_EPOCH.date_naive());
    }
    Ok(touched)
}
