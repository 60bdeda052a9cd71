//! Lessons: the ordered parts of a module, and the skills that they teach.

use std::collections::HashSet;

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::{Error, OnConstraint, OrNotFound},
    id, idempotency,
    identity::{Role, User},
    proto::lms::{CreateLessonRequest, CreateLessonResponse},
    validate::Checks,
};
use uuid::Uuid;

use crate::{
    access::{self, EDITORS},
    modules::ORDER_MAX,
    publication,
};

/// What a lesson can consist of.
const CONTENT_TYPES: [&str; 4] = ["VIDEO", "TEXT", "QUIZ", "ASSIGNMENT"];
/// How many skills a lesson can teach.
const SKILLS_MAX: usize = 50;

/// Adds a lesson to a module, at the place asked for or after the last one. Where the course is published, its new version
/// is announced.
///
/// # Errors
/// 400 naming each wrong field, 403 or 404 for a course that the caller may not change, 409 where the place is taken.
pub async fn create(db: &Db, context: &Context, request: &CreateLessonRequest) -> Result<CreateLessonResponse> {
    let user = context.user()?;
    user.require_any(&EDITORS)?;
    let module_id = id::parse("moduleId", &request.module_id)?;
    check(request)?;
    idempotency::run(db, context, "lms.lessons", request, async |claim: idempotency::Claim| {
        let mut tx = access::begin_edit(db, user).await?;
        let course_id = find_course(&mut tx, user, module_id).await?.or_not_found("module")?;
        // The lock makes the place after the last one the same until the commit.
        let course = access::lock(&mut tx, user, course_id, "module").await?;
        let lesson_id = id::new(context.now);
        sqlx::query!(
            "insert into lessons (id, module_id, course_id, tenant_id, lesson_order, title, content_type,
                 duration_minutes, skill_keys, is_public, created_at)
             select $1, $2, $3, $4, coalesce($5, max(lesson_order) + 1, 1), $6, $7, $8, $9, $10, $11
             from lessons where module_id = $2",
            lesson_id,
            module_id,
            course.id,
            course.tenant_id,
            request.lesson_order,
            request.title,
            request.content_type,
            request.duration_minutes.unwrap_or_default(),
            &distinct(&request.skill_keys),
            course.is_published && course.is_public,
            context.now,
        )
        .execute(&mut *tx)
        .await
        .on_constraint("lessons_module_id_lesson_order_key", || {
            let order = request.lesson_order.unwrap_or_default();
            Error::conflict("lesson_order_taken", format!("the module has a lesson with lessonOrder {order} already"))
        })?;
        sqlx::query!("update courses set lesson_count = lesson_count + 1 where id = $1", course.id)
            .execute(&mut *tx)
            .await?;
        if course.is_published {
            publication::announce(&mut tx, context, &course).await?;
        }
        let created = CreateLessonResponse { lesson_id: lesson_id.to_string() };
        claim.complete(&mut tx, &created).await?;
        tx.commit().await?;
        Ok(created)
    })
    .await
}

/// The course of a module of the user's tenant, or for an OPERATOR of any.
async fn find_course(tx: &mut Tx, user: &User, module_id: Uuid) -> Result<Option<Uuid>> {
    let course_id = sqlx::query_scalar!(
        "select course_id from modules where id = $1 and ($2 or tenant_id = $3)",
        module_id,
        user.is(Role::Operator),
        user.tenant_id,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(course_id)
}

fn check(request: &CreateLessonRequest) -> Result<()> {
    let mut checks = Checks::new();
    checks.text("title", &request.title, 1, 255);
    let known = CONTENT_TYPES.contains(&request.content_type.as_str());
    checks.check("contentType", known, "must be VIDEO, TEXT, QUIZ or ASSIGNMENT");
    checks.range("durationMinutes", request.duration_minutes.unwrap_or_default(), 0..=i32::MAX);
    checks.range("lessonOrder", request.lesson_order.unwrap_or(1), 1..=ORDER_MAX);
    if request.skill_keys.len() > SKILLS_MAX {
        checks.fail("skillKeys", format!("must have {SKILLS_MAX} entries or fewer"));
    }
    for (position, key) in request.skill_keys.iter().enumerate() {
        checks.text(&format!("skillKeys[{position}]"), key, 1, 128);
    }
    checks.finish()
}

/// `keys` without repetitions, in their order.
fn distinct(keys: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    keys.iter().filter(|key| seen.insert(key.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skill_named_twice_is_taught_once() {
        assert_eq!(distinct(&["sql", "rust", "sql"].map(String::from)), ["sql", "rust"]);
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let request = CreateLessonRequest {
            title: String::new(),
            content_type: "video".into(),
            duration_minutes: Some(-1),
            lesson_order: Some(0),
            skill_keys: vec!["rust".into(), " ".into()],
            ..CreateLessonRequest::default()
        };
        let error = check(&request).unwrap_err();
        let fields: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
        assert_eq!(fields, ["title", "contentType", "durationMinutes", "lessonOrder", "skillKeys[1]"]);
    }
}
