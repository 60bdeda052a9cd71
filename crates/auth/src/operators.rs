//! Operators: the platform's own staff. Only these functions make one, and no route calls them.

use std::collections::BTreeSet;

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::{Error, OrNotFound},
    events::{RoleChanged, UserRegistered},
    id,
    identity::Role,
    outbox::{self, About},
    validate::Checks,
};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    emails::Email,
    passwords::{self, Passwords},
    roles, sessions,
    users::{self, NewUser},
};

/// Who changed a role, in events.
const CHANGED_BY: &str = "operator-command";

/// An operator's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The user.
    pub user_id: Uuid,
    /// The user's address.
    pub email: String,
    /// Since when.
    pub granted_at: DateTime<Utc>,
}

/// Makes the user of `email` an operator; that they are one already is no error.
///
/// # Errors
/// 400 where `email` is no address, 404 where nobody has it.
pub async fn grant(db: &Db, now: DateTime<Utc>, email: &str) -> Result<()> {
    let mut tx = db.begin_system().await?;
    let (user_id, tenant_id, roles) = lock(&mut tx, &Email::parse(email)?).await?;
    if roles.contains(&Role::Operator) {
        return Ok(());
    }
    roles::grant(&mut tx, user_id, tenant_id, &BTreeSet::from([Role::Operator]), now).await?;
    changed(tx, now, user_id, tenant_id).await
}

/// Takes the role from the user of `email` and ends their sessions; that they are no operator is no error.
///
/// # Errors
/// 400 where `email` is no address, 404 where nobody has it.
pub async fn revoke(db: &Db, now: DateTime<Utc>, email: &str) -> Result<()> {
    let mut tx = db.begin_system().await?;
    let (user_id, tenant_id, roles) = lock(&mut tx, &Email::parse(email)?).await?;
    if !roles.contains(&Role::Operator) {
        return Ok(());
    }
    sqlx::query!(
        "delete from user_roles where user_id = $1 and role_id = (select id from roles where code = 'OPERATOR')",
        user_id,
    )
    .execute(&mut *tx)
    .await?;
    sessions::end_all(&mut tx, user_id, now).await?;
    changed(tx, now, user_id, tenant_id).await
}

/// Makes an account, in a tenant of its own, that is an operator's from the start.
///
/// # Errors
/// 400 naming what is wrong with address or password, 409 `email_taken`.
pub async fn create(
    db: &Db,
    passwords: &Passwords,
    now: DateTime<Utc>,
    email: &str,
    password: &SecretString,
) -> Result<Uuid> {
    let mut checks = Checks::new();
    passwords::check_new(&mut checks, password);
    let email = checks.ok(Email::parse(email));
    checks.finish()?;
    let email = email.ok_or_else(|| Error::invalid("email", "is required"))?;
    let hash = Passwords::hash(passwords.turn().await?, password).await?;
    let (user_id, tenant_id) = (id::new(now), id::new(now));
    let roles = BTreeSet::from([roles::DEFAULT, Role::Admin, Role::Operator]);
    let mut tx = db.begin(tenant_id).await?;
    let user = NewUser { id: user_id, tenant_id, email: &email, password_hash: &hash, roles: &roles };
    users::insert(&mut tx, &user, now).await?;
    let event = UserRegistered {
        user_id,
        email: email.as_str().to_owned(),
        registered_at: now,
        default_role: Some(roles::DEFAULT.as_str().to_owned()),
    };
    let about = About { tenant_id, user_id: Some(user_id) };
    outbox::publish(&mut tx, &Context::internal(now), about, &event).await?;
    changed(tx, now, user_id, tenant_id).await?;
    Ok(user_id)
}

/// All operators, the first made first.
///
/// # Errors
/// 503 where the database is away.
pub async fn list(db: &Db) -> Result<Vec<Operator>> {
    let mut tx = db.begin_system().await?;
    let operators = sqlx::query_as!(
        Operator,
        "select users.id as user_id, users.email, user_roles.granted_at
         from users
         join user_roles on user_roles.user_id = users.id
         -- The role's id is a constant of the migrations, so that the index of operators serves.
         where user_roles.role_id = '01900000-0000-7000-8000-000000000004' and users.deleted_at is null
         order by user_roles.granted_at, users.id",
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(operators)
}

/// The user of `email` with the tenant and roles, the row locked.
async fn lock(tx: &mut Tx, email: &Email) -> Result<(Uuid, Uuid, BTreeSet<Role>)> {
    let user = sqlx::query!(
        "select id, tenant_id from users where email = $1 and deleted_at is null for update",
        email.as_str(),
    )
    .fetch_optional(&mut **tx)
    .await?
    .or_not_found("user")?;
    Ok((user.id, user.tenant_id, list_roles(tx, user.id).await?))
}

async fn list_roles(tx: &mut Tx, user_id: Uuid) -> Result<BTreeSet<Role>> {
    let codes = sqlx::query_scalar!(
        "select roles.code from user_roles join roles on roles.id = user_roles.role_id where user_roles.user_id = $1",
        user_id,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(roles::of_codes(&codes))
}

/// Tells what the roles are now, and commits.
async fn changed(mut tx: Tx, now: DateTime<Utc>, user_id: Uuid, tenant_id: Uuid) -> Result<()> {
    let roles = roles::codes(&list_roles(&mut tx, user_id).await?);
    let event = RoleChanged { user_id, roles, changed_by: CHANGED_BY.to_owned() };
    let about = About { tenant_id, user_id: Some(user_id) };
    outbox::publish(&mut tx, &Context::internal(now), about, &event).await?;
    tx.commit().await
}
