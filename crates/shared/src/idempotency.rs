//! `Idempotency-Key`: a retry gets the first answer (draft-ietf-httpapi-idempotency-key-header).
//!
//! A key is claimed before the work and completed in the transaction of the work's effect, so that effect and answer are
//! committed together or not at all. A claim whose process died is free again after its lease.

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    context::Context,
    db::{Db, Tx},
    error::{Error, Kind, Result},
    id,
    identity::Caller,
    sweep,
};

/// How long an answer is kept.
const RETENTION: TimeDelta = TimeDelta::hours(24);
/// After this a claim without an answer counts as abandoned; longer than any request may take.
const LEASE: TimeDelta = TimeDelta::seconds(90);

/// The right to do the work of one key; without a key it does nothing.
#[derive(Debug, Clone)]
pub struct Claim(Option<Held>);

#[derive(Debug, Clone)]
struct Held {
    scope: String,
    route: &'static str,
    key: String,
    claim: Uuid,
}

impl Claim {
    /// Stores `response` as the key's answer, as part of the transaction that holds its effect.
    ///
    /// # Errors
    /// 409 where another request took the key over meanwhile; the transaction must then not be committed.
    pub async fn complete<R: Message>(&self, tx: &mut Tx, response: &R) -> Result<()> {
        let Some(held) = &self.0 else { return Ok(()) };
        let done = sqlx::query(
            "update idempotency_keys set response = $5 where scope = $1 and route = $2 and key = $3 and claim = $4",
        )
        .bind(&held.scope)
        .bind(held.route)
        .bind(&held.key)
        .bind(held.claim)
        .bind(response.encode_to_vec())
        .execute(&mut **tx)
        .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(in_use()) }
    }

    async fn release(&self, db: &Db) {
        let Some(held) = &self.0 else { return };
        let released = sqlx::query(
            "delete from idempotency_keys where scope = $1 and route = $2 and key = $3 and claim = $4 and response is null",
        )
        .bind(&held.scope)
        .bind(held.route)
        .bind(&held.key)
        .bind(held.claim)
        .execute(db)
        .await;
        if let Err(error) = released {
            tracing::warn!(error = %error, "an idempotency key stays claimed until its lease ends");
        }
    }
}

/// Does `work` once per idempotency key of the caller on `route`: a repetition gets the first answer. Without a key, or
/// where `work` fails, nothing is remembered.
///
/// `work` gets the claim and has to [`Claim::complete`] it in its transaction.
///
/// # Errors
/// 409 while the first request with the key still runs, 422 where `request` differs from the first one, else what `work`
/// fails with.
pub async fn run<Q, R, F>(
    db: &Db,
    context: &Context,
    route: &'static str,
    request: &Q,
    work: impl FnOnce(Claim) -> F,
) -> Result<R>
where
    Q: Message,
    R: Message + Default,
    F: Future<Output = Result<R>>,
{
    run_as_any(db, context, route, std::slice::from_ref(request), work).await.map(|(_, response)| response)
}

/// As [`run`], for a request that can be written in several ways, as one is whose fingerprint depends on a secret that is
/// being changed: the first of `requests` is remembered, a repetition is known by any. The answer comes with the position
/// of the one that its request was remembered as.
///
/// # Errors
/// As [`run`]; 422 where all of `requests` differ from the first one.
pub async fn run_as_any<Q, R, F>(
    db: &Db,
    context: &Context,
    route: &'static str,
    requests: &[Q],
    work: impl FnOnce(Claim) -> F,
) -> Result<(usize, R)>
where
    Q: Message,
    R: Message + Default,
    F: Future<Output = Result<R>>,
{
    let Some(key) = &context.idempotency_key else {
        return Ok((0, work(Claim(None)).await?));
    };
    let scope = match context.caller()? {
        Caller::User(user) => user.id.to_string(),
        Caller::Service => "service".to_owned(),
        Caller::Anonymous => "anonymous".to_owned(),
    };
    let held = Held { scope, route, key: key.clone(), claim: id::new(context.now) };
    let hashes: Vec<_> = requests.iter().map(|request| Sha256::digest(request.encode_to_vec()).to_vec()).collect();
    if let Some((position, response)) = claim(db, &held, &hashes, context.now).await? {
        return Ok((position, R::decode(response.as_slice()).map_err(Error::internal)?));
    }
    let claim = Claim(Some(held));
    let result = work(claim.clone()).await;
    if result.is_err() {
        claim.release(db).await;
    }
    result.map(|response| (0, response))
}

/// Claims the key; where there is a stored answer, that and which of `hashes` it was stored for.
async fn claim(db: &Db, held: &Held, hashes: &[Vec<u8>], now: DateTime<Utc>) -> Result<Option<(usize, Vec<u8>)>> {
    // A row is taken over once its answer is too old or its claim was abandoned.
    let claimed: Option<Uuid> = sqlx::query_scalar(
        "insert into idempotency_keys as k (scope, route, key, request_hash, claim, locked_until, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict on constraint idempotency_keys_pkey do update
         set request_hash = excluded.request_hash, claim = excluded.claim, locked_until = excluded.locked_until,
             created_at = excluded.created_at, response = null
         where k.created_at < $8 or (k.response is null and k.locked_until < $7)
         returning claim",
    )
    .bind(&held.scope)
    .bind(held.route)
    .bind(&held.key)
    .bind(hashes.first())
    .bind(held.claim)
    .bind(now + LEASE)
    .bind(now)
    .bind(now - RETENTION)
    .fetch_optional(db)
    .await?;
    if claimed.is_some() {
        return Ok(None);
    }
    let first: Option<(Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
        "select request_hash, response from idempotency_keys where scope = $1 and route = $2 and key = $3",
    )
    .bind(&held.scope)
    .bind(held.route)
    .bind(&held.key)
    .fetch_optional(db)
    .await?;
    let Some((first_hash, response)) = first else { return Err(in_use()) };
    match (hashes.iter().position(|hash| *hash == first_hash), response) {
        (None, _) => Err(Error::new(
            Kind::Unprocessable,
            "this Idempotency-Key was used with another body; use a new key for a new request",
        )
        .with_code("idempotency_key_reused")),
        (Some(position), Some(response)) => Ok(Some((position, response))),
        (Some(_), None) => Err(in_use()),
    }
}

fn in_use() -> Error {
    Error::conflict(
        "idempotency_key_in_use",
        "the first request with this Idempotency-Key is still running; try again shortly",
    )
}

/// Deletes answers older than a day.
///
/// # Errors
/// 503 where the database is away.
pub(crate) async fn sweep(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let delete = || {
        sqlx::query(
            "delete from idempotency_keys where ctid = any(array(
                 select ctid from idempotency_keys where created_at < $1
                 order by created_at limit $2 for update skip locked))",
        )
        .bind(now - RETENTION)
        .bind(sweep::BATCH)
    };
    sweep::all(db, delete).await
}
