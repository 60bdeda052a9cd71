//! Publication: how a draft gets into the catalogue, and how others learn which skills its lessons teach.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::Error,
    events::{CoursePublished, PublishedLesson},
    outbox::{self, About},
};
use uuid::Uuid;

use crate::access::{self, EDITORS, Locked};

/// Publishes a course; one that is published already stays as it is.
///
/// # Errors
/// 403 or 404 for a course that the caller may not change, 409 for one without lessons.
pub async fn publish(db: &Db, context: &Context, course_id: Uuid) -> Result<()> {
    let user = context.user()?;
    user.require_any(&EDITORS)?;
    let mut tx = access::begin_edit(db, user).await?;
    let course = access::lock(&mut tx, user, course_id, "course").await?;
    if course.is_published {
        return Ok(());
    }
    if course.lesson_count == 0 {
        return Err(Error::conflict("course_without_lessons", "a course needs a lesson before it can be published"));
    }
    sqlx::query!("update courses set status = 'PUBLISHED', published_at = $2 where id = $1", course_id, context.now,)
        .execute(&mut *tx)
        .await?;
    if course.is_public {
        open_to_all_tenants(&mut tx, course_id).await?;
    }
    announce(&mut tx, context, &course).await?;
    tx.commit().await
}

async fn open_to_all_tenants(tx: &mut Tx, course_id: Uuid) -> Result<()> {
    sqlx::query!(
        "with opened_modules as (update modules set is_public = true where course_id = $1),
              opened_lessons as (update lessons set is_public = true where course_id = $1)
         insert into catalogue (course_id, owner_id, title, description, price_usd, published_at, search)
         select id, owner_id, title, description, price_usd, published_at, search from courses where id = $1",
        course_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Tells of a published course's lessons and their skills as they are now, as its next version.
pub(crate) async fn announce(tx: &mut Tx, context: &Context, course: &Locked) -> Result<()> {
    let version =
        sqlx::query_scalar!("update courses set version = version + 1 where id = $1 returning version", course.id)
            .fetch_one(&mut **tx)
            .await?;
    let lessons = sqlx::query_as!(
        PublishedLesson,
        "select lessons.id as lesson_id, skill_keys from lessons join modules on modules.id = lessons.module_id
         where lessons.course_id = $1 order by module_order, lesson_order",
        course.id,
    )
    .fetch_all(&mut **tx)
    .await?;
    let event = CoursePublished { course_id: course.id, version: version.unsigned_abs(), lessons };
    outbox::publish(tx, context, About { tenant_id: course.tenant_id, user_id: None }, &event).await
}
