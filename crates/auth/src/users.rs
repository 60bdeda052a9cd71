//! Accounts: whose e-mail address and password they are, and which tenant they belong to.

use std::collections::BTreeSet;

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::{Error, OnConstraint},
    id,
    identity::{Caller, Role, User},
    proto::auth::{GetCurrentUserResponse, GetUserTenantResponse},
};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use crate::{emails::Email, roles, sessions};

/// What a login has to know of an account.
#[derive(Debug)]
pub struct Account {
    /// The user.
    pub id: Uuid,
    /// The user's tenant.
    pub tenant_id: Uuid,
    /// A PHC string.
    pub password_hash: String,
    /// Neither suspended nor deleted.
    pub active: bool,
    /// What the user may be.
    pub roles: BTreeSet<Role>,
}

/// The account of `email`.
///
/// # Errors
/// 503 where the database is away.
pub async fn find_by_email(db: &Db, email: &Email) -> Result<Option<Account>> {
    // Whose tenant it is, is what is being asked.
    let mut tx = db.begin_system().await?;
    let row = sqlx::query!(
        r#"select id, tenant_id, password_hash, (status = 'ACTIVE' and deleted_at is null) as "active!",
                  array(
                      select roles.code from user_roles join roles on roles.id = user_roles.role_id
                      where user_roles.user_id = users.id
                  ) as "roles!"
           from users where email = $1"#,
        email.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(row.map(|row| Account {
        id: row.id,
        tenant_id: row.tenant_id,
        password_hash: row.password_hash,
        active: row.active,
        roles: roles::of_codes(&row.roles),
    }))
}

/// An account to be made.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// The user's id.
    pub id: Uuid,
    /// The user's tenant.
    pub tenant_id: Uuid,
    /// The user's address.
    pub email: &'a Email,
    /// A PHC string.
    pub password_hash: &'a str,
    /// What the user may be.
    pub roles: &'a BTreeSet<Role>,
}

/// Makes an account with its roles.
///
/// # Errors
/// 409 `email_taken`; 503 where the database is away.
pub async fn insert(tx: &mut Tx, user: &NewUser<'_>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "insert into users (id, tenant_id, email, password_hash, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)",
        user.id,
        user.tenant_id,
        user.email.as_str(),
        user.password_hash,
        now,
    )
    .execute(&mut **tx)
    .await
    .on_constraint("users_email_key", email_taken)?;
    roles::grant(tx, user.id, user.tenant_id, user.roles, now).await
}

pub(crate) fn email_taken() -> Error {
    Error::conflict("email_taken", "there is an account with this e-mail address; log in instead")
}

/// The account of the user who asks.
///
/// # Errors
/// 401 where the session has ended or the account is no longer active.
pub async fn get_current(db: &Db, user: &User, now: DateTime<Utc>) -> Result<GetCurrentUserResponse> {
    sessions::require_live(db, user, now).await?;
    let mut tx = db.begin(user.tenant_id).await?;
    let row = sqlx::query!(
        r#"select email, status, created_at,
                  array(
                      select roles.code from user_roles join roles on roles.id = user_roles.role_id
                      where user_roles.user_id = users.id
                  ) as "roles!",
                  array(
                      select distinct permissions.code
                      from user_roles
                      join role_permissions on role_permissions.role_id = user_roles.role_id
                      join permissions on permissions.id = role_permissions.permission_id
                      where user_roles.user_id = users.id
                      order by permissions.code
                  ) as "permissions!"
           from users where id = $1 and tenant_id = $2"#,
        user.id,
        user.tenant_id,
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(sessions::ended)?;
    Ok(GetCurrentUserResponse {
        user_id: user.id.to_string(),
        tenant_id: user.tenant_id.to_string(),
        email: row.email,
        status: row.status,
        roles: roles::codes(&roles::of_codes(&row.roles)),
        permissions: row.permissions,
        created_at: row.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
    })
}

/// The tenant of a user, for another service.
///
/// # Errors
/// 400 for an id that is not a UUID, 401 or 403 for anybody but a service.
pub async fn find_tenant(db: &Db, context: &Context, user_id: &str) -> Result<GetUserTenantResponse> {
    match context.caller()? {
        Caller::Service => {}
        Caller::User(_) => return Err(Error::forbidden("only other services may ask this")),
        Caller::Anonymous => return Err(Error::unauthenticated("this needs the service secret")),
    }
    let user_id = id::parse("userId", user_id)?;
    let mut tx = db.begin_system().await?;
    let found = sqlx::query_scalar!("select tenant_id from users where id = $1 and deleted_at is null", user_id)
        .fetch_optional(&mut *tx)
        .await?;
    Ok(GetUserTenantResponse { found: found.is_some(), tenant_id: found.map(|id| id.to_string()).unwrap_or_default() })
}
