//! Who may see courses, and who may change them.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::{Error, OrNotFound},
    identity::{Caller, Role, User},
};
use uuid::Uuid;

use crate::courses::{PUBLISHED, Visibility};

/// Who may make courses, and change those that are theirs or their tenant's.
pub const EDITORS: [Role; 3] = [Role::Instructor, Role::Admin, Role::Operator];

/// Whose eyes courses are looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Viewer {
    /// Nobody's where no token came with the call.
    pub(crate) tenant_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) sees_drafts: bool,
    pub(crate) sees_all_tenants: bool,
}

impl Viewer {
    /// The caller as a viewer; a token is optional.
    ///
    /// # Errors
    /// 401 where a token came with the call and is not valid.
    pub fn of(context: &Context) -> Result<Self> {
        let nobody = Self { tenant_id: Uuid::nil(), user_id: Uuid::nil(), sees_drafts: false, sees_all_tenants: false };
        Ok(match context.caller()? {
            Caller::User(user) => Self {
                tenant_id: user.tenant_id,
                user_id: user.id,
                sees_drafts: user.is(Role::Admin) || user.is(Role::Operator),
                sees_all_tenants: user.is(Role::Operator),
            },
            Caller::Service => Self { sees_drafts: true, sees_all_tenants: true, ..nobody },
            Caller::Anonymous => nobody,
        })
    }
}

/// A course that the caller may change, locked until the transaction ends: changes of one course happen one after the
/// other, and so do its events.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) id: Uuid,
    pub(crate) tenant_id: Uuid,
    pub(crate) is_published: bool,
    pub(crate) is_public: bool,
    pub(crate) lesson_count: i32,
}

/// Begins a transaction that sees what `user` may change: the tenant's rows, for an OPERATOR all.
pub(crate) async fn begin_edit(db: &Db, user: &User) -> Result<Tx> {
    if user.is(Role::Operator) { db.begin_system().await } else { db.begin(user.tenant_id).await }
}

/// Locks the course `course_id`.
///
/// # Errors
/// 404 naming `noun` where `user` may not see it, 403 where `user` may see and not change it.
pub(crate) async fn lock(tx: &mut Tx, user: &User, course_id: Uuid, noun: &str) -> Result<Locked> {
    let course = sqlx::query!(
        "select tenant_id, owner_id, status, visibility, lesson_count from courses
         where id = $1 and deleted_at is null and ($2 or tenant_id = $3)
         for update",
        course_id,
        user.is(Role::Operator),
        user.tenant_id,
    )
    .fetch_optional(&mut **tx)
    .await?
    .or_not_found(noun)?;
    let is_published = course.status == PUBLISHED;
    let may_edit = course.owner_id == user.id || user.is(Role::Admin) || user.is(Role::Operator);
    if !may_edit {
        let hidden = Error::not_found(noun);
        let seen = Error::forbidden("only the course's instructor or an ADMIN of its tenant may change it");
        return Err(if is_published { seen } else { hidden });
    }
    Ok(Locked {
        id: course_id,
        tenant_id: course.tenant_id,
        is_published,
        is_public: course.visibility == Visibility::Public.as_str(),
        lesson_count: course.lesson_count,
    })
}
