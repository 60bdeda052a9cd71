//! Sessions: where a user is logged in. Each is a family of refresh tokens of which one is good.

use careeros_shared::{
    Result,
    context::{Client, Context},
    db::{Db, Tx},
    error::Error,
    id,
    identity::User,
    proto::auth::Session,
    sweep,
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    secrets::Maker,
    tokens::{Holder, Issuer},
};

/// The most sessions that are listed.
const LISTED: i64 = 100;
/// How long an ended session is kept, for users who ask what happened.
const KEPT: TimeDelta = TimeDelta::days(90);

/// A session that has just been opened, as it is remembered under an idempotency key: everything that the answer is made
/// of but the secrets.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Opened {
    /// The user.
    #[prost(string, tag = "1")]
    pub user_id: String,
    /// The user's tenant.
    #[prost(string, tag = "2")]
    pub tenant_id: String,
    /// The session.
    #[prost(string, tag = "3")]
    pub session_id: String,
    /// The codes of the user's roles then.
    #[prost(string, repeated, tag = "4")]
    pub roles: Vec<String>,
    /// When, in microseconds since 1970.
    #[prost(int64, tag = "5")]
    pub at: i64,
}

impl Opened {
    /// Whom the session's first tokens are for.
    ///
    /// # Errors
    /// 500 where what was remembered cannot be read.
    pub fn holder(&self) -> Result<Holder> {
        let id = |text: &str| Uuid::try_parse(text).map_err(Error::internal);
        let at = DateTime::from_timestamp_micros(self.at);
        Ok(Holder {
            user_id: id(&self.user_id)?,
            tenant_id: id(&self.tenant_id)?,
            session_id: id(&self.session_id)?,
            roles: crate::roles::of_codes(&self.roles),
            at: at.ok_or_else(|| Error::internal(anyhow::anyhow!("{} is no time", self.at)))?,
        })
    }
}

impl From<&Holder> for Opened {
    fn from(holder: &Holder) -> Self {
        Self {
            user_id: holder.user_id.to_string(),
            tenant_id: holder.tenant_id.to_string(),
            session_id: holder.session_id.to_string(),
            roles: crate::roles::codes(&holder.roles),
            at: holder.at.timestamp_micros(),
        }
    }
}

/// Opens a session on the client's device, with the first refresh token that `maker` makes for it.
///
/// # Errors
/// 503 where the database is away.
pub async fn open(tx: &mut Tx, issuer: &Issuer, holder: &Holder, maker: &Maker, client: &Client) -> Result<()> {
    sqlx::query!(
        "insert into sessions (id, user_id, tenant_id, refresh_token_hash, expires_at, ip_address, user_agent,
                               created_at, last_used_at)
         values ($1, $2, $3, $4, $5, $6::text::inet, $7, $8, $8)",
        holder.session_id,
        holder.user_id,
        holder.tenant_id,
        maker.token(holder.session_id).hash(),
        holder.at + issuer.lifetimes.refresh,
        client.ip.map(|ip| ip.to_string()),
        client.agent,
        holder.at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether the session of an access token still runs and its user is active.
///
/// # Errors
/// 503 where the database is away.
pub async fn is_live(db: &Db, user: &User, now: DateTime<Utc>) -> Result<bool> {
    let live = sqlx::query_scalar!(
        r#"select l.id as "id!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               select sessions.id
               from sessions join users on users.id = sessions.user_id
               where sessions.tenant_id = scope.tenant_id and sessions.id = $2 and sessions.user_id = $3
                 and sessions.revoked_at is null and sessions.expires_at > $4
                 and users.status = 'ACTIVE' and users.deleted_at is null
               offset 0
           ) l"#,
        user.tenant_id,
        user.session_id,
        user.id,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(live.is_some())
}

/// # Errors
/// 401 where the session of an access token has ended: here, where sessions are kept, it counts before the token expires.
pub async fn require_live(db: &Db, user: &User, now: DateTime<Utc>) -> Result<()> {
    if is_live(db, user, now).await? { Ok(()) } else { Err(ended()) }
}

pub(crate) fn ended() -> Error {
    Error::unauthenticated("this session has ended; log in again").with_code("session_ended")
}

/// The caller's sessions, the last used first.
///
/// # Errors
/// 401 where the caller's own has ended.
pub async fn list(db: &Db, context: &Context) -> Result<Vec<Session>> {
    let user = context.user()?;
    require_live(db, user, context.now).await?;
    let mut tx = db.begin(user.tenant_id).await?;
    let rows = sqlx::query!(
        r#"select id, user_agent, coalesce(host(ip_address), '') as "ip_address!", created_at, last_used_at, expires_at
           from sessions
           where tenant_id = $1 and user_id = $2 and revoked_at is null and expires_at > $3
           order by last_used_at desc, id desc
           limit $4"#,
        user.tenant_id,
        user.id,
        context.now,
        LISTED,
    )
    .fetch_all(&mut *tx)
    .await?;
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let sessions = rows.into_iter().map(|row| Session {
        session_id: row.id.to_string(),
        user_agent: row.user_agent,
        ip_address: row.ip_address,
        created_at: time(row.created_at),
        last_used_at: time(row.last_used_at),
        expires_at: time(row.expires_at),
        current: row.id == user.session_id,
    });
    Ok(sessions.collect())
}

/// Ends one of the caller's sessions.
///
/// # Errors
/// 400 for an id that is not a UUID, 401 where the caller's own has ended, 404 where it is not one of theirs that runs.
pub async fn revoke(db: &Db, context: &Context, session_id: &str) -> Result<()> {
    let user = context.user()?;
    let session_id = id::parse("sessionId", session_id)?;
    require_live(db, user, context.now).await?;
    if end(db, user, session_id, context.now).await? { Ok(()) } else { Err(Error::not_found("session")) }
}

/// Ends the session that the caller's access token belongs to; that it has ended before is no error.
///
/// # Errors
/// 401 without a token.
pub async fn logout(db: &Db, context: &Context) -> Result<()> {
    let user = context.user()?;
    end(db, user, user.session_id, context.now).await.map(|_| ())
}

async fn end(db: &Db, user: &User, session_id: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let mut tx = db.begin(user.tenant_id).await?;
    let ended = sqlx::query!(
        "update sessions set revoked_at = $4
         where tenant_id = $1 and user_id = $2 and id = $3 and revoked_at is null and expires_at > $4",
        user.tenant_id,
        user.id,
        session_id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends all sessions of a user.
///
/// # Errors
/// 503 where the database is away.
pub async fn end_all(tx: &mut Tx, user_id: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update sessions set revoked_at = $2 where user_id = $1 and revoked_at is null", user_id, now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Deletes spent tokens that would have expired by now anyway, and sessions that ended long ago.
///
/// # Errors
/// 503 where the database is away.
pub async fn sweep(db: &Db, refresh: TimeDelta, now: DateTime<Utc>) -> Result<()> {
    let spent = || {
        sqlx::query!(
            "delete from spent_refresh_tokens where ctid = any(array(
                 select ctid from spent_refresh_tokens where spent_at < $1
                 order by spent_at limit $2 for update skip locked))",
            now - refresh,
            sweep::BATCH,
        )
    };
    sweep::all(db, spent).await?;
    let ended = || {
        sqlx::query!(
            "delete from sessions where ctid = any(array(
                 select ctid from sessions where least(expires_at, revoked_at) < $1
                 order by least(expires_at, revoked_at) limit $2 for update skip locked))",
            now - KEPT,
            sweep::BATCH,
        )
    };
    sweep::all(db, ended).await
}
