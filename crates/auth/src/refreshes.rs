//! Refreshing: a refresh token is good once, and what happens when it comes again.
//!
//! Every use spends the token and makes its successor. A spent token that comes again means that two hold it, its owner
//! and a thief, so its session ends for both. The one exception is a lost answer: with an `Idempotency-Key` the successor
//! is a function of token and key, so the same two within [`GRACE`] make the same answer again, as long as the successor
//! has not been used. Nothing is stored for it: whether a successor is the session's good token is told by its hash.

use careeros_shared::{
    Result,
    context::Context,
    db::{Db, Tx},
    error::Error,
    proto::auth::RefreshResponse,
};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    keys::Signer,
    roles,
    secrets::{Opaque, Root},
    tokens::{Holder, Issuer},
};

/// For how long a lost answer can be asked for again.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// A session whose row is locked.
struct Locked {
    id: Uuid,
    user_id: Uuid,
    tenant_id: Uuid,
    /// The hash of the token that is good now.
    good: String,
    expires_at: DateTime<Utc>,
    revoked: bool,
    active: bool,
    roles: Vec<String>,
    /// When the token asked with was spent, if it was.
    spent_at: Option<DateTime<Utc>>,
}

impl Locked {
    fn is_live(&self, now: DateTime<Utc>) -> bool {
        !self.revoked && self.active && now < self.expires_at
    }

    fn holder(&self, at: DateTime<Utc>) -> Holder {
        let roles = roles::of_codes(&self.roles);
        Holder { user_id: self.user_id, tenant_id: self.tenant_id, session_id: self.id, roles, at }
    }
}

/// Spends `refresh_token` for a new pair.
///
/// # Errors
/// 401 `refresh_token_invalid` for one that is unknown or whose session has ended, `refresh_token_expired`, or
/// `refresh_token_reused` for a spent one, which ends the session.
pub async fn refresh(db: &Db, issuer: &Issuer, context: &Context, refresh_token: &str) -> Result<RefreshResponse> {
    if refresh_token.is_empty() {
        return Err(Error::invalid("refreshToken", "must not be empty"));
    }
    let token = Opaque::parse(refresh_token).ok_or_else(invalid)?;
    let signer = issuer.signer(context.now).await?;
    // Whose token it is, is what is being asked.
    let mut tx = db.begin_system().await?;
    let hash = token.hash();
    // The one that waits for another's lock in the first query finds the token spent in the second.
    if let Some(session) = find_good(&mut tx, &hash).await? {
        return spend(tx, issuer, context, &signer, &session, &token).await;
    }
    let session = find_spent(&mut tx, &hash).await?.ok_or_else(invalid)?;
    again(tx, issuer, context, &signer, &session, &token).await
}

/// The token is the good one.
async fn spend(
    mut tx: Tx,
    issuer: &Issuer,
    context: &Context,
    signer: &Signer,
    session: &Locked,
    token: &Opaque,
) -> Result<RefreshResponse> {
    let now = context.now;
    if !session.is_live(now) {
        return Err(if session.revoked || !session.active { invalid() } else { expired() });
    }
    let root = issuer.secrets.current();
    let successor = root.successor(token, context.idempotency_key.as_deref());
    let answer = answer(issuer, root, signer, &session.holder(now), &successor)?;
    sqlx::query!(
        "insert into spent_refresh_tokens (token_hash, session_id, tenant_id, spent_at) values ($1, $2, $3, $4)",
        session.good,
        session.id,
        session.tenant_id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update sessions set refresh_token_hash = $2, last_used_at = $3, expires_at = $4 where id = $1",
        session.id,
        successor.hash(),
        now,
        now + issuer.lifetimes.refresh,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(answer)
}

/// The token was spent before: a lost answer, or a thief.
async fn again(
    mut tx: Tx,
    issuer: &Issuer,
    context: &Context,
    signer: &Signer,
    session: &Locked,
    token: &Opaque,
) -> Result<RefreshResponse> {
    let key = context.idempotency_key.as_deref();
    let spent_at = session.spent_at.filter(|at| context.now - *at <= GRACE);
    if let (Some(spent_at), Some(_), true) = (spent_at, key, session.is_live(context.now)) {
        let successors = issuer.secrets.roots().map(|root| (root, root.successor(token, key)));
        let mut good = successors.filter(|(_, successor)| successor.hash() == session.good);
        if let Some((root, successor)) = good.next() {
            return answer(issuer, root, signer, &session.holder(spent_at), &successor);
        }
    }
    sqlx::query!("update sessions set revoked_at = $2 where id = $1 and revoked_at is null", session.id, context.now)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    tracing::warn!(user.id = %session.user_id, session.id = %session.id, "a spent refresh token was used: session ended");
    Err(Error::unauthenticated("this refresh token was used before, so its session has been ended; log in again")
        .with_code("refresh_token_reused"))
}

fn answer(issuer: &Issuer, root: &Root, signer: &Signer, holder: &Holder, refresh: &Opaque) -> Result<RefreshResponse> {
    let pair = issuer.pair(root, signer, holder, refresh)?;
    Ok(RefreshResponse { access_token: pair.access_token, refresh_token: pair.refresh_token })
}

fn invalid() -> Error {
    Error::unauthenticated("the refresh token is not valid; log in again").with_code("refresh_token_invalid")
}

fn expired() -> Error {
    Error::unauthenticated("the refresh token has expired; log in again").with_code("refresh_token_expired")
}

/// The session whose good token has this hash.
async fn find_good(tx: &mut Tx, hash: &str) -> Result<Option<Locked>> {
    let found = sqlx::query_as!(
        Locked,
        r#"select s.id, s.user_id, s.tenant_id, s.refresh_token_hash as good, s.expires_at,
                  (s.revoked_at is not null) as "revoked!", (u.status = 'ACTIVE' and u.deleted_at is null) as "active!",
                  array(
                      select roles.code from user_roles join roles on roles.id = user_roles.role_id
                      where user_roles.user_id = s.user_id
                  ) as "roles!",
                  null::timestamptz as spent_at
           from sessions s join users u on u.id = s.user_id
           where s.refresh_token_hash = $1
           for update of s"#,
        hash,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found)
}

/// The session that once had a good token with this hash.
async fn find_spent(tx: &mut Tx, hash: &str) -> Result<Option<Locked>> {
    let found = sqlx::query_as!(
        Locked,
        r#"select s.id, s.user_id, s.tenant_id, s.refresh_token_hash as good, s.expires_at,
                  (s.revoked_at is not null) as "revoked!", (u.status = 'ACTIVE' and u.deleted_at is null) as "active!",
                  array(
                      select roles.code from user_roles join roles on roles.id = user_roles.role_id
                      where user_roles.user_id = s.user_id
                  ) as "roles!",
                  t.spent_at as "spent_at?"
           from spent_refresh_tokens t
           join sessions s on s.id = t.session_id
           join users u on u.id = s.user_id
           where t.token_hash = $1
           for update of s"#,
        hash,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found)
}
