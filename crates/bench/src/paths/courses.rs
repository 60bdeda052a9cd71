//! Courses for everybody to learn in, with ids that follow from their numbers. They are written past the service, which
//! would take a request for each lesson; what the service would have published of them is published.

use anyhow::{Context as _, Result};
use careeros_shared::{
    clock::Clock,
    events::{CoursePublished, Envelope, Event as _, PublishedLesson},
    id,
};
use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::numbered::Kind;
use crate::{fleet::Fleet, generate::Record};

/// Courses.
const COURSES: u64 = 100;
/// Lessons of each.
pub(super) const LESSONS: u64 = 40;
/// Lessons of all courses: numbers from 0 on, course after course.
pub(super) const ALL_LESSONS: u64 = COURSES * LESSONS;
const SKILLS: [&str; 4] = ["rust", "sql", "docker", "testing"];

/// The course of a lesson, by their numbers.
pub(super) fn course_of(lesson: u64) -> u64 {
    lesson / LESSONS
}

/// Makes all courses.
pub(super) async fn make(fleet: &Fleet) -> Result<()> {
    let mut connection = fleet.connect("lms").await?;
    // Made of constants of this file alone.
    let sql = format!(
        "create function numbered(prefix text, number bigint) returns uuid language sql immutable
             return (prefix || lpad(to_hex(number), 12, '0'))::uuid;
         insert into instructors (id, user_id, tenant_id, created_at)
         values ('{instructor}', '{instructor}', '{tenant}', now());
         insert into courses (id, tenant_id, instructor_id, owner_id, title, status, version, lesson_count, published_at,
                              created_at)
         select numbered('{course}', n), '{tenant}', '{instructor}', '{instructor}', 'Course ' || n, 'PUBLISHED', 1,
                {LESSONS}, now(), now()
         from generate_series(0, {COURSES} - 1) n;
         insert into modules (id, course_id, tenant_id, module_order, title, is_public, created_at)
         select numbered('{module}', n), numbered('{course}', n), '{tenant}', 1, 'Module', true, now()
         from generate_series(0, {COURSES} - 1) n;
         insert into lessons (id, module_id, course_id, tenant_id, lesson_order, title, content_type, duration_minutes,
                              skill_keys, is_public, created_at)
         select numbered('{lesson}', n), numbered('{module}', n / {LESSONS}), numbered('{course}', n / {LESSONS}),
                '{tenant}', n % {LESSONS} + 1, 'Lesson ' || n, 'VIDEO', 30,
                array[(string_to_array('{skills}', ','))[n % {} + 1]], true, now()
         from generate_series(0, {ALL_LESSONS} - 1) n",
        SKILLS.len(),
        tenant = Kind::Tenant.id(0),
        instructor = Kind::Instructor.id(0),
        course = Kind::Course.prefix(),
        module = Kind::Module.prefix(),
        lesson = Kind::Lesson.prefix(),
        skills = SKILLS.join(","),
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.context("cannot make courses")?;
    let now = Clock::system().now();
    drop(fleet.topics()?.fill((0..COURSES).map(move |course| published(course, now))).await?);
    Ok(())
}

fn published(course: u64, now: DateTime<Utc>) -> Result<Record> {
    let lessons = course * LESSONS..(course + 1) * LESSONS;
    let skill = |lesson: u64| SKILLS[usize::try_from(lesson).unwrap_or_default() % SKILLS.len()].to_owned();
    let lesson = |lesson| PublishedLesson { lesson_id: Kind::Lesson.id(lesson), skill_keys: vec![skill(lesson)] };
    let course_id = Kind::Course.id(course);
    let event = CoursePublished { course_id, version: 1, lessons: lessons.map(lesson).collect() };
    let envelope = Envelope {
        event_id: id::new(now),
        event_type: CoursePublished::TYPE.to_owned(),
        event_version: 1,
        occurred_at: now,
        source: CoursePublished::SOURCE.to_owned(),
        correlation_id: None,
        request_id: None,
        tenant_id: Kind::Tenant.id(0).to_string(),
        user_id: None,
        payload: serde_json::to_value(event)?,
    };
    Ok(Record { topic: CoursePublished::TOPIC, key: course_id.to_string(), value: serde_json::to_vec(&envelope)? })
}

/// Enrols users in all courses.
pub(super) async fn enrol(fleet: &Fleet, learners: impl Iterator<Item = (Uuid, Uuid)>) -> Result<()> {
    let (users, tenants): (Vec<_>, Vec<_>) = learners.unzip();
    let mut connection = fleet.connect("lms").await?;
    sqlx::query(
        "insert into enrollments (id, user_id, course_id, tenant_id, enrolled_at)
         select gen_random_uuid(), u.id, numbered($3, n), u.tenant_id, now()
         from unnest($1::uuid[], $2::uuid[]) u (id, tenant_id), generate_series(0, $4 - 1) n",
    )
    .bind(users)
    .bind(tenants)
    .bind(Kind::Course.prefix())
    .bind(i32::try_from(COURSES)?)
    .execute(&mut connection)
    .await?;
    sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
    Ok(())
}
