//! Instructors: the users who own courses, with the terms they are paid on.

use careeros_shared::{Result, db::Tx, directory::Subject, id};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The id of `user` as an instructor, which their first course makes them.
pub(crate) async fn ensure(tx: &mut Tx, user: Subject, now: DateTime<Utc>) -> Result<Uuid> {
    // The update changes nothing; without it the id of a row that was there already would not be returned.
    let instructor_id = sqlx::query_scalar!(
        "insert into instructors (id, user_id, tenant_id, created_at) values ($1, $2, $3, $4)
         on conflict on constraint instructors_user_id_key do update set user_id = excluded.user_id
         returning id",
        id::new(now),
        user.user_id,
        user.tenant_id,
        now,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(instructor_id)
}
