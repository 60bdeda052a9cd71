//! Roles: which a user has, and what they permit.

use std::collections::BTreeSet;

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::Error,
    id,
    identity::{Caller, Role},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What every user is.
pub const DEFAULT: Role = Role::Student;

/// The roles with these codes; what is none is left out, as the database has no other.
pub fn of_codes(codes: &[String]) -> BTreeSet<Role> {
    codes.iter().filter_map(|code| Role::parse(code)).collect()
}

/// The codes of `roles`.
pub fn codes(roles: &BTreeSet<Role>) -> Vec<String> {
    roles.iter().map(|role| role.as_str().to_owned()).collect()
}

/// Gives a user `roles`; the ones that they have already stay.
///
/// # Errors
/// 503 where the database is away.
pub async fn grant(
    tx: &mut Tx,
    user_id: Uuid,
    tenant_id: Uuid,
    roles: &BTreeSet<Role>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into user_roles (user_id, role_id, tenant_id, granted_at)
         select $1, id, $2, $4 from roles where code = any($3)
         on conflict on constraint user_roles_pkey do nothing",
        user_id,
        tenant_id,
        &codes(roles),
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The permissions of the user that a request names, or of the caller.
///
/// # Errors
/// 400 for an id that is not a UUID, 401 for nobody, 403 unless the caller is that user, an ADMIN of the same tenant, an
/// OPERATOR or another service, 404 for an unknown user.
pub async fn permissions(db: &Db, context: &Context, named: &str) -> Result<Vec<String>> {
    let not_yours = || Error::forbidden("the access token does not allow asking about this user");
    let named = if named.is_empty() { None } else { Some(id::parse("userId", named)?) };
    // Whose rows the caller may ask about; `None` is everybody's.
    let (user_id, tenant_id) = match context.caller()? {
        Caller::Anonymous => return Err(Error::unauthenticated("this needs an access token")),
        Caller::Service => (named.ok_or_else(|| Error::invalid("userId", "is required"))?, None),
        Caller::User(user) => {
            let named = named.unwrap_or(user.id);
            if named != user.id && !user.is(Role::Admin) && !user.is(Role::Operator) {
                return Err(not_yours());
            }
            (named, (!user.is(Role::Operator)).then_some(user.tenant_id))
        }
    };
    let mut tx = match tenant_id {
        Some(tenant_id) => db.begin(tenant_id).await?,
        None => db.begin_system().await?,
    };
    let permissions = sqlx::query_scalar!(
        r#"select array(
               select distinct permissions.code
               from user_roles
               join role_permissions on role_permissions.role_id = user_roles.role_id
               join permissions on permissions.id = role_permissions.permission_id
               where user_roles.user_id = users.id
               order by permissions.code
           ) as "codes!"
           from users
           where id = $1 and ($2::uuid is null or tenant_id = $2) and status = 'ACTIVE' and deleted_at is null"#,
        user_id,
        tenant_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    // To an ADMIN, another tenant's user and nobody look the same.
    permissions.ok_or_else(|| if tenant_id.is_some() { not_yours() } else { Error::not_found("user") })
}
