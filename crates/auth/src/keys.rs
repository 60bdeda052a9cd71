//! The keys that access tokens are signed with: Ed25519, in the database, taken turns by time.
//!
//! A key is published, then signs for [`SIGNS`], and stays published until its last tokens have expired. All replicas read
//! the same rows, every [`RELOAD`]; whoever sees first that a key is missing makes it, under an advisory lock. The private
//! halves are sealed with a key derived from the shared secret. While that has two values, either opens, and what the other
//! one sealed is sealed again with the first. Where none opens the private half is lost: a new key signs at once, and the
//! tokens of the old ones still verify.

use std::sync::{Arc, PoisonError, RwLock};

use careeros_shared::{
    Result,
    clock::Clock,
    db::{Db, Tx},
    error::Error,
    identity::{Claims, Verifier},
};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};

use crate::{
    sealed::{Seal, Sealed},
    secrets::{Root, Secrets, random},
};

/// How long a key signs.
pub const SIGNS: TimeDelta = TimeDelta::days(30);
/// How long before it signs a key is published, when its turn comes by time.
pub const LEAD: TimeDelta = TimeDelta::days(1);
/// How long before it signs a key is published, when an operator rotates: every replica has read it by then.
pub const PICK_UP: TimeDelta = TimeDelta::seconds(30);
/// How old what a replica has read may be.
pub const RELOAD: TimeDelta = TimeDelta::seconds(10);
/// How much longer than its tokens a key is published, for clocks that differ.
const MARGIN: TimeDelta = TimeDelta::minutes(5);
/// The advisory lock of whoever makes a key: "careeros" in ASCII.
const LOCK: i64 = 0x6361_7265_6572_6f73;

/// The signing keys as this replica knows them.
#[derive(Debug, Clone)]
pub struct Keys {
    db: Db,
    seal: Seal,
    verifier: Verifier,
    /// How long the tokens live that are signed.
    lifetime: TimeDelta,
    loaded: Arc<RwLock<Arc<Loaded>>>,
    loading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Loaded {
    at: Option<DateTime<Utc>>,
    keys: Vec<Key>,
    jwks: String,
}

/// A key with its times.
#[derive(Debug, Clone)]
struct Key {
    kid: String,
    public_jwk: String,
    /// Absent where the seal does not open.
    private: Option<EncodingKey>,
    /// The private half sealed anew, where the seal is one that is being replaced.
    resealed: Option<Sealed>,
    signs_from: DateTime<Utc>,
    signs_until: DateTime<Utc>,
}

/// A key as it is stored.
struct Row {
    kid: String,
    public_jwk: String,
    private_key: Sealed,
    signs_from: DateTime<Utc>,
    signs_until: DateTime<Utc>,
}

/// Signs claims with one key.
#[derive(Clone)]
pub struct Signer {
    header: Header,
    key: EncodingKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.header.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// `claims` as a JWT.
    ///
    /// # Errors
    /// 500 where they cannot be signed.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        jsonwebtoken::encode(&self.header, claims, &self.key).map_err(Error::internal)
    }
}

impl Keys {
    /// The keys in `db`, for tokens that live for `lifetime`. `verifier` is kept up to date with them.
    pub fn new(db: Db, secrets: &Secrets, verifier: Verifier, lifetime: TimeDelta) -> Self {
        let key = |root: &Root| root.derive("signing keys", &[]);
        let others: Vec<_> = secrets.roots().skip(1).map(key).collect();
        let seal = Seal::new(&key(secrets.current()), &others);
        Self { db, seal, verifier, lifetime, loaded: Arc::default(), loading: Arc::default() }
    }

    /// The verifier that knows these keys.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The key that signs at `now`; makes it where there is none.
    ///
    /// # Errors
    /// 503 where the database is away and what was read of it is of no more use.
    pub async fn signer(&self, now: DateTime<Utc>) -> Result<Signer> {
        let loaded = self.fresh(now).await?;
        let signer = current(&loaded.keys, now).and_then(|key| {
            let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
            Some(Signer { header, key: key.private.clone()? })
        });
        signer.ok_or_else(|| Error::internal(anyhow::anyhow!("no key signs at {now}")))
    }

    /// The published keys as an RFC 7517 JWK set.
    ///
    /// # Errors
    /// 503 where the database is away and nothing was read of it yet.
    pub async fn jwks(&self, now: DateTime<Utc>) -> Result<String> {
        Ok(self.fresh(now).await?.jwks.clone())
    }

    /// Keeps the keys up to date until it is dropped.
    pub async fn follow(self, clock: Clock) {
        loop {
            let read = self.fresh(clock.now()).await;
            // Without a first key nothing verifies, so that is asked for more often.
            let pause = if read.is_ok() { RELOAD } else { TimeDelta::seconds(1) };
            tokio::time::sleep(pause.to_std().unwrap_or_default()).await;
        }
    }

    /// Lets a new key take over. The old ones sign until then and stay published until their tokens have expired; with
    /// `withdraw`, for keys that have leaked, they end at once and everybody has to refresh. The new key's id, and when it
    /// signs.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn rotate(&self, now: DateTime<Utc>, withdraw: bool) -> Result<(String, DateTime<Utc>)> {
        let mut tx = self.locked().await?;
        let signs_from = if withdraw { now } else { now + PICK_UP };
        let published_until = if withdraw { now } else { signs_from + self.lifetime + MARGIN };
        sqlx::query!(
            "update signing_keys
             set signs_until = least(signs_until, $1), published_until = least(published_until, $2),
                 signs_from = least(signs_from, $1)
             where published_until > $3",
            signs_from,
            published_until,
            now,
        )
        .execute(&mut *tx)
        .await?;
        let kid = self.make(&mut tx, now, signs_from).await?;
        tx.commit().await?;
        self.reload(now).await?;
        Ok((kid, signs_from))
    }

    /// Deletes keys that nothing can be verified with any more.
    ///
    /// # Errors
    /// 503 where the database is away.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<()> {
        sqlx::query!("delete from signing_keys where published_until < $1", now - LEAD).execute(&self.db).await?;
        Ok(())
    }

    fn known(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was read less than [`RELOAD`] ago, or what can still be used where the database is away.
    async fn fresh(&self, now: DateTime<Utc>) -> Result<Arc<Loaded>> {
        let usable = |loaded: &Loaded| current(&loaded.keys, now).is_some();
        let recent = |loaded: &Loaded| loaded.at.is_some_and(|at| (now - at).abs() < RELOAD);
        let known = self.known();
        if recent(&known) && usable(&known) {
            return Ok(known);
        }
        let _loading = self.loading.lock().await;
        let known = self.known();
        if recent(&known) && usable(&known) {
            return Ok(known);
        }
        match self.reload(now).await {
            Err(error) if error.is_transient() && usable(&known) => {
                tracing::warn!(error = %error, "the signing keys could not be read again; the known ones are used");
                Ok(known)
            }
            reloaded => reloaded,
        }
    }

    async fn reload(&self, now: DateTime<Utc>) -> Result<Arc<Loaded>> {
        let mut keys = self.list(&mut *self.db.begin_system().await?, now).await?;
        if next(&keys, now).is_some() || keys.iter().any(|key| key.resealed.is_some()) {
            keys = self.mend(now).await?;
        }
        let jwks: Vec<_> = keys.iter().map(|key| key.public_jwk.as_str()).collect();
        let jwks = format!(r#"{{"keys":[{}]}}"#, jwks.join(","));
        if jwks != self.known().jwks {
            self.verifier.set_keys(&jwks)?;
        }
        let loaded = Arc::new(Loaded { at: Some(now), keys, jwks });
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&loaded);
        Ok(loaded)
    }

    /// Makes a key that is missing and seals anew what a secret has sealed that is being replaced. The published keys.
    async fn mend(&self, now: DateTime<Utc>) -> Result<Vec<Key>> {
        let mut tx = self.locked().await?;
        // Whoever held the lock before may have done it.
        let mut keys = self.list(&mut tx, now).await?;
        if let Some(signs_from) = next(&keys, now) {
            let kid = self.make(&mut tx, now, signs_from).await?;
            tracing::info!(key.id = kid, key.signs_from = %signs_from, "made a signing key");
            keys = self.list(&mut tx, now).await?;
        }
        for key in &mut keys {
            let Some(sealed) = key.resealed.take() else { continue };
            sqlx::query!("update signing_keys set private_key = $2 where kid = $1", key.kid, sealed)
                .execute(&mut *tx)
                .await?;
            tracing::info!(key.id = key.kid, "sealed a signing key with the first SERVICE_SHARED_SECRET");
        }
        tx.commit().await?;
        Ok(keys)
    }

    async fn locked(&self) -> Result<Tx> {
        let mut tx = self.db.begin_system().await?;
        sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).fetch_one(&mut *tx).await?;
        Ok(tx)
    }

    /// The published keys, in the order of their turns.
    async fn list(&self, connection: &mut sqlx::PgConnection, now: DateTime<Utc>) -> Result<Vec<Key>> {
        let rows = sqlx::query_as!(
            Row,
            "select kid, public_jwk, private_key, signs_from, signs_until from signing_keys
             where published_until > $1 order by signs_from, kid",
            now,
        )
        .fetch_all(connection)
        .await?;
        let key = |row| {
            let Row { kid, public_jwk, private_key, signs_from, signs_until } = row;
            let opened = self.seal.open(&private_key, &kid);
            let outdated = opened.as_ref().filter(|opened| opened.outdated);
            let resealed = outdated.map(|opened| self.seal.close(&opened.plain, &kid)).transpose()?;
            let private = opened.map(|opened| EncodingKey::from_ed_der(&opened.plain));
            Ok(Key { kid, public_jwk, private, resealed, signs_from, signs_until })
        };
        rows.into_iter().map(key).collect()
    }

    async fn make(&self, tx: &mut Tx, now: DateTime<Utc>, signs_from: DateTime<Utc>) -> Result<String> {
        let der = pkcs8(&random());
        let (kid, public_jwk) = public_half(&der)?;
        let signs_until = signs_from + SIGNS;
        sqlx::query!(
            "insert into signing_keys (kid, public_jwk, private_key, created_at, signs_from, signs_until, published_until)
             values ($1, $2, $3, $4, $5, $6, $7)",
            kid,
            public_jwk,
            self.seal.close(&der, &kid)?,
            now,
            signs_from,
            signs_until,
            signs_until + self.lifetime + MARGIN,
        )
        .execute(&mut **tx)
        .await?;
        Ok(kid)
    }
}

/// The key whose turn it is.
fn current(keys: &[Key], now: DateTime<Utc>) -> Option<&Key> {
    keys.iter().rfind(|key| key.private.is_some() && key.signs_from <= now && now < key.signs_until)
}

/// When a further key has to sign from; `None` while there are enough.
fn next(keys: &[Key], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let Some(current) = current(keys, now) else {
        return Some(now);
    };
    let ending = current.signs_until - now <= LEAD;
    let followed = keys.iter().any(|key| {
        key.private.is_some() && key.signs_from <= current.signs_until && current.signs_until < key.signs_until
    });
    (ending && !followed).then_some(current.signs_until)
}

/// An Ed25519 seed as PKCS #8 (RFC 8410, section 7), which is what signs.
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    [PREFIX.as_slice(), seed].concat()
}

/// The key's id, its RFC 7638 thumbprint, and its public half as a JWK.
fn public_half(der: &[u8]) -> Result<(String, String)> {
    let mut jwk = Jwk::from_encoding_key(&EncodingKey::from_ed_der(der), Algorithm::EdDSA).map_err(Error::internal)?;
    let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(Error::internal)?;
    jwk.common.key_id = Some(kid.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok((kid, serde_json::to_string(&jwk).map_err(Error::internal)?))
}

#[cfg(test)]
mod tests {
    use careeros_shared::testing;

    use super::*;

    fn key(from_days: i64, until_days: i64, readable: bool) -> Key {
        let at = |days| testing::start() + TimeDelta::days(days);
        Key {
            kid: format!("{from_days}"),
            public_jwk: String::new(),
            private: readable.then(|| EncodingKey::from_ed_der(&pkcs8(&[7; 32]))),
            resealed: None,
            signs_from: at(from_days),
            signs_until: at(until_days),
        }
    }

    #[test]
    fn a_key_is_made_when_none_signs_or_the_last_is_about_to_end() {
        let now = testing::start();
        assert_eq!(next(&[], now), Some(now));
        assert_eq!(next(&[key(-5, 25, true)], now), None);
        assert_eq!(next(&[key(-30, 1, true)], now), Some(now + LEAD));
        assert_eq!(next(&[key(-30, 1, true), key(1, 31, true)], now), None);
        assert_eq!(next(&[key(1, 31, true)], now), Some(now));
    }

    #[test]
    fn a_key_that_cannot_be_read_does_not_count() {
        let now = testing::start();
        assert_eq!(next(&[key(-5, 25, false)], now), Some(now));
        assert_eq!(next(&[key(-30, 1, true), key(1, 31, false)], now), Some(now + LEAD));
    }

    #[test]
    fn the_youngest_key_whose_turn_has_come_signs() {
        let keys = [key(-10, 20, true), key(-1, 29, true), key(1, 31, true)];
        assert_eq!(current(&keys, testing::start()).unwrap().kid, "-1");
    }

    /// RFC 8037, appendix A.1 to A.3.
    #[test]
    fn the_public_half_and_the_id_are_those_of_the_standard() {
        let mut seed = [0; 32];
        hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed).unwrap();
        let (kid, jwk) = public_half(&pkcs8(&seed)).unwrap();
        assert_eq!(kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let jwk: serde_json::Value = serde_json::from_str(&jwk).unwrap();
        assert_eq!(jwk["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(
            (&jwk["kty"], &jwk["crv"], &jwk["alg"], &jwk["use"]),
            (&"OKP".into(), &"Ed25519".into(), &"EdDSA".into(), &"sig".into())
        );
        assert!(jwk.get("d").is_none());
    }
}
