//! Modules: the ordered parts of a course.

use careeros_shared::{
    Result,
    context::Context,
    db::Db,
    error::{Error, OnConstraint},
    id, idempotency,
    proto::lms::{CreateModuleRequest, CreateModuleResponse},
    validate::Checks,
};

use crate::access::{self, EDITORS};

/// The last place that a module or lesson can be given.
pub(crate) const ORDER_MAX: i32 = 10_000;

/// Adds a module to a course, at the place asked for or after the last one.
///
/// # Errors
/// 400 naming each wrong field, 403 or 404 for a course that the caller may not change, 409 where the place is taken.
pub async fn create(db: &Db, context: &Context, request: &CreateModuleRequest) -> Result<CreateModuleResponse> {
    let user = context.user()?;
    user.require_any(&EDITORS)?;
    let course_id = id::parse("courseId", &request.course_id)?;
    let mut checks = Checks::new();
    checks.text("title", &request.title, 1, 255);
    checks.range("moduleOrder", request.module_order.unwrap_or(1), 1..=ORDER_MAX);
    checks.finish()?;
    idempotency::run(db, context, "lms.modules", request, async |claim: idempotency::Claim| {
        let mut tx = access::begin_edit(db, user).await?;
        // The lock makes the place after the last one the same until the commit.
        let course = access::lock(&mut tx, user, course_id, "course").await?;
        let module_id = id::new(context.now);
        sqlx::query!(
            "insert into modules (id, course_id, tenant_id, module_order, title, is_public, created_at)
             select $1, $2, $3, coalesce($4, max(module_order) + 1, 1), $5, $6, $7 from modules where course_id = $2",
            module_id,
            course.id,
            course.tenant_id,
            request.module_order,
            request.title,
            course.is_published && course.is_public,
            context.now,
        )
        .execute(&mut *tx)
        .await
        .on_constraint("modules_course_id_module_order_key", || {
            let order = request.module_order.unwrap_or_default();
            Error::conflict("module_order_taken", format!("the course has a module with moduleOrder {order} already"))
        })?;
        let created = CreateModuleResponse { module_id: module_id.to_string() };
        claim.complete(&mut tx, &created).await?;
        tx.commit().await?;
        Ok(created)
    })
    .await
}
