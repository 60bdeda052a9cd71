//! The catalogue: which skills each lesson and course teaches, as the publications of courses say.
//!
//! A lesson teaches what the highest version of its course that lists it says, so that a lesson dropped later still counts
//! for whoever has completed it. A course teaches what the lessons of its highest version teach. Between publications with
//! one version the later decides.

use std::collections::{BTreeSet, HashMap, HashSet};

use careeros_shared::{Result, db::Tx, events::PublishedLesson};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::activity::{Activity, Deed};

/// The advisory lock's key: "courses" in ASCII. Whoever publishes holds it alone, whoever looks skills up holds it with
/// others, so that no completion is counted by a catalogue that is being replaced.
const LOCK: i64 = 0x0063_6f75_7273_6573;

/// A course in one of its versions.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The course's tenant.
    pub tenant_id: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// When it was published.
    pub at: DateTime<Utc>,
    /// The course.
    pub course_id: Uuid,
    /// Higher ones replace lower ones.
    pub version: i32,
    /// The lessons with their skills.
    pub lessons: Vec<PublishedLesson>,
}

/// Which publication decides: the greatest.
type Rank = (i32, DateTime<Utc>, Uuid);

/// What a lesson teaches, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taught {
    tenant_id: Uuid,
    rank: Rank,
    skills: BTreeSet<String>,
}

/// What is taught, for the courses asked for.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    courses: HashMap<Uuid, HashMap<Uuid, Taught>>,
}

/// A lesson, or a course where `lesson_id` is `None`, that teaches a skill now, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retaught {
    /// The course.
    pub course_id: Uuid,
    /// The lesson.
    pub lesson_id: Option<Uuid>,
    /// The skill.
    pub skill_key: String,
    /// Whether it is taught now.
    pub now: bool,
}

impl Catalogue {
    /// The skills that a lesson teaches; none while its course is not known.
    pub fn lesson(&self, course_id: Uuid, lesson_id: Uuid) -> BTreeSet<&str> {
        let taught = self.courses.get(&course_id).and_then(|lessons| lessons.get(&lesson_id));
        taught.into_iter().flat_map(|taught| &taught.skills).map(String::as_str).collect()
    }

    /// The skills that a course teaches.
    pub fn course(&self, course_id: Uuid) -> BTreeSet<&str> {
        let lessons = || self.courses.get(&course_id).into_iter().flat_map(HashMap::values);
        let version = lessons().map(|taught| taught.rank.0).max();
        let current = lessons().filter(|taught| Some(taught.rank.0) == version);
        current.flat_map(|taught| &taught.skills).map(String::as_str).collect()
    }

    fn add(&mut self, publication: &Publication) {
        let rank = (publication.version, publication.at, publication.event_id);
        let course = self.courses.entry(publication.course_id).or_default();
        for lesson in &publication.lessons {
            let skills = lesson.skill_keys.iter().filter(|key| !key.trim().is_empty()).cloned();
            match course.get_mut(&lesson.lesson_id) {
                Some(known) if known.rank > rank => {}
                // Listed twice by one publication.
                Some(known) if known.rank == rank => known.skills.extend(skills),
                _ => {
                    let taught = Taught { tenant_id: publication.tenant_id, rank, skills: skills.collect() };
                    course.insert(lesson.lesson_id, taught);
                }
            }
        }
    }

    /// What `self` teaches otherwise than `before`.
    fn since(&self, before: &Self) -> Vec<Retaught> {
        let mut changes = Vec::new();
        for (course_id, lessons) in &self.courses {
            let mut compare = |lesson_id, old: BTreeSet<&str>, new: BTreeSet<&str>| {
                for skill_key in old.symmetric_difference(&new) {
                    let (skill_key, now) = ((*skill_key).to_owned(), new.contains(skill_key));
                    changes.push(Retaught { course_id: *course_id, lesson_id, skill_key, now });
                }
            };
            compare(None, before.course(*course_id), self.course(*course_id));
            for lesson_id in lessons.keys() {
                compare(Some(*lesson_id), before.lesson(*course_id, *lesson_id), self.lesson(*course_id, *lesson_id));
            }
        }
        changes.sort();
        changes
    }
}

/// Applies `publications`. Returns what the courses of `publications` and `activities` teach now, and what has changed in
/// that.
///
/// # Errors
/// 503 where the database is away.
pub async fn publish(
    tx: &mut Tx,
    publications: &[Publication],
    activities: &[Activity],
) -> Result<(Catalogue, Vec<Retaught>)> {
    let completed = activities.iter().filter_map(|activity| match activity.deed {
        Deed::Lesson { course_id, .. } | Deed::Course { course_id } => Some(course_id),
        Deed::Quiz { .. } | Deed::Milestone => None,
    });
    let published = publications.iter().map(|publication| publication.course_id);
    let course_ids: HashSet<Uuid> = completed.chain(published).collect();
    if course_ids.is_empty() {
        return Ok((Catalogue::default(), Vec::new()));
    }
    if publications.is_empty() {
        sqlx::query!("select pg_advisory_xact_lock_shared($1)", LOCK).execute(&mut **tx).await?;
    } else {
        sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(&mut **tx).await?;
        // What a course's many learners know by it is counted again where it teaches something else than before.
        sqlx::query("set local statement_timeout = '300s'").execute(&mut **tx).await?;
    }
    let before = load(tx, &course_ids.into_iter().collect::<Vec<_>>()).await?;
    let mut catalogue = before.clone();
    for publication in publications {
        catalogue.add(publication);
    }
    let changes = catalogue.since(&before);
    store(tx, &before, &catalogue).await?;
    Ok((catalogue, changes))
}

async fn load(tx: &mut Tx, course_ids: &[Uuid]) -> Result<Catalogue> {
    let rows = sqlx::query!(
        "select course_id, lesson_id, tenant_id, version, published_at, source_event_id, skill_keys
         from lesson_skills where course_id = any($1)",
        course_ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut catalogue = Catalogue::default();
    for row in rows {
        let rank = (row.version, row.published_at, row.source_event_id);
        let taught = Taught { tenant_id: row.tenant_id, rank, skills: row.skill_keys.into_iter().collect() };
        catalogue.courses.entry(row.course_id).or_default().insert(row.lesson_id, taught);
    }
    Ok(catalogue)
}

async fn store(tx: &mut Tx, before: &Catalogue, catalogue: &Catalogue) -> Result<()> {
    let mut changed = Vec::new();
    for (course_id, lessons) in &catalogue.courses {
        let known = before.courses.get(course_id);
        let differs = |lesson_id| known.and_then(|lessons| lessons.get(lesson_id));
        let lessons = lessons.iter().filter(|(lesson_id, taught)| differs(lesson_id) != Some(taught));
        changed.extend(lessons.map(|(lesson_id, taught)| (*course_id, *lesson_id, taught)));
    }
    if changed.is_empty() {
        return Ok(());
    }
    // Lists of lists have to be of one length in PostgreSQL, so the keys travel as JSON.
    let skill_keys = changed.iter().map(|(.., taught)| json!(taught.skills));
    sqlx::query!(
        "insert into lesson_skills (course_id, lesson_id, tenant_id, version, published_at, source_event_id, skill_keys)
         select course_id, lesson_id, tenant_id, version, published_at, source_event_id,
                array(select jsonb_array_elements_text(skill_keys))
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::timestamptz[], $6::uuid[], $7::jsonb[])
             as n(course_id, lesson_id, tenant_id, version, published_at, source_event_id, skill_keys)
         on conflict on constraint lesson_skills_pkey do update
         set tenant_id = excluded.tenant_id, version = excluded.version, published_at = excluded.published_at,
             source_event_id = excluded.source_event_id, skill_keys = excluded.skill_keys",
        &changed.iter().map(|(course_id, ..)| *course_id).collect::<Vec<_>>(),
        &changed.iter().map(|(_, lesson_id, _)| *lesson_id).collect::<Vec<_>>(),
        &changed.iter().map(|(.., taught)| taught.tenant_id).collect::<Vec<_>>(),
        &changed.iter().map(|(.., taught)| taught.rank.0).collect::<Vec<_>>(),
        &changed.iter().map(|(.., taught)| taught.rank.1).collect::<Vec<_>>(),
        &changed.iter().map(|(.., taught)| taught.rank.2).collect::<Vec<_>>(),
        &skill_keys.collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(version: i32, lessons: &[(u128, &[&str])]) -> Publication {
        let lessons = lessons.iter().map(|(lesson, skills)| PublishedLesson {
            lesson_id: Uuid::from_u128(*lesson),
            skill_keys: skills.iter().map(|key| (*key).to_owned()).collect(),
        });
        Publication {
            tenant_id: Uuid::nil(),
            event_id: Uuid::from_u128(version.unsigned_abs().into()),
            at: DateTime::from_timestamp(0, 0).unwrap(),
            course_id: COURSE,
            version,
            lessons: lessons.collect(),
        }
    }

    const COURSE: Uuid = Uuid::from_u128(100);

    #[test]
    fn the_highest_version_that_lists_a_lesson_decides_whatever_came_first() {
        let versions = [
            publication(1, &[(1, &["rust"]), (2, &["sql"])]),
            publication(2, &[(1, &["rust", "testing"])]),
            publication(3, &[(1, &["go", ""])]),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut catalogue = Catalogue::default();
            for index in order {
                catalogue.add(&versions[index]);
            }
            assert_eq!(catalogue.lesson(COURSE, Uuid::from_u128(1)), BTreeSet::from(["go"]));
            // Dropped by version 2, and still worth something to whoever did it.
            assert_eq!(catalogue.lesson(COURSE, Uuid::from_u128(2)), BTreeSet::from(["sql"]));
            assert_eq!(catalogue.course(COURSE), BTreeSet::from(["go"]));
        }
    }

    #[test]
    fn what_has_changed_is_told_for_lessons_and_course() {
        let mut before = Catalogue::default();
        before.add(&publication(1, &[(1, &["rust"]), (2, &["sql"])]));
        let mut after = before.clone();
        after.add(&publication(2, &[(1, &["rust", "go"]), (2, &[])]));
        let change = |lesson: Option<u128>, skill: &str, now| Retaught {
            course_id: COURSE,
            lesson_id: lesson.map(Uuid::from_u128),
            skill_key: skill.to_owned(),
            now,
        };
        let expected = [
            change(None, "go", true),
            change(None, "sql", false),
            change(Some(1), "go", true),
            change(Some(2), "sql", false),
        ];
        assert_eq!(after.since(&before), expected);
        assert!(after.since(&after.clone()).is_empty());
    }
}
