//! Who is calling: access tokens, roles, and the rule that the token decides about user and tenant.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Clock,
    error::{Error, Result},
    grpc::{self, Transport},
    proto::auth::{GetJwksRequest, auth_service_client::AuthServiceClient},
};

/// The `iss` of every access token.
pub const ISSUER: &str = "careeros-auth";
/// The `aud` of every access token.
pub const AUDIENCE: &str = "careeros";

/// What a user may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Learns; everybody is one.
    Student,
    /// Makes courses.
    Instructor,
    /// Runs a tenant.
    Admin,
    /// The platform's own staff, across tenants.
    Operator,
}

impl Role {
    /// As in tokens, tables and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Student => "STUDENT",
            Self::Instructor => "INSTRUCTOR",
            Self::Admin => "ADMIN",
            Self::Operator => "OPERATOR",
        }
    }

    /// The role written `text`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Student, Self::Instructor, Self::Admin, Self::Operator].into_iter().find(|r| r.as_str() == text)
    }
}

/// The claims of an access token (RFC 7519, signed with Ed25519).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: Uuid,
    /// The user's tenant.
    pub tid: Uuid,
    /// The session that the token belongs to.
    pub sid: Uuid,
    /// The user's roles when the token was made.
    pub roles: BTreeSet<Role>,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires at, Unix seconds.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
}

/// A user whose token has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: Uuid,
    /// The user's tenant.
    pub tenant_id: Uuid,
    /// The session of the token.
    pub session_id: Uuid,
    /// What the user may be.
    pub roles: BTreeSet<Role>,
    expires_at: i64,
}

impl User {
    /// Whether the user has `role`.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// # Errors
    /// 403 unless the user has one of `roles`.
    pub fn require_any(&self, roles: &[Role]) -> Result<()> {
        if roles.iter().any(|role| self.is(*role)) {
            return Ok(());
        }
        let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        Err(Error::forbidden(format!("this needs the role {}", names.join(" or "))))
    }
}

impl From<Claims> for User {
    fn from(claims: Claims) -> Self {
        Self {
            id: claims.sub,
            tenant_id: claims.tid,
            session_id: claims.sid,
            roles: claims.roles,
            expires_at: claims.exp,
        }
    }
}

/// On whose behalf a call is made.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A user with a valid token.
    User(Arc<User>),
    /// Another service in its own name, proved by the shared secret.
    Service,
    /// Nobody said.
    Anonymous,
}

/// Verifies access tokens locally with the public keys of the auth service.
///
/// A verified token is remembered until it expires, because a signature check costs more than most requests' other work.
#[derive(Clone)]
pub struct Verifier {
    keys: Arc<RwLock<HashMap<String, DecodingKey>>>,
    source: Option<AuthServiceClient<Transport>>,
    refresh: Arc<tokio::sync::Mutex<Option<DateTime<Utc>>>>,
    verified: moka::sync::Cache<String, Arc<User>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("remembered", &self.verified.entry_count()).finish_non_exhaustive()
    }
}

/// How often at most an unknown key id makes the verifier ask for keys again; a forged `kid` must not become a flood.
const REFRESH_INTERVAL: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// How often keys are asked for without a reason: how long a withdrawn key is believed at the most.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(30);

impl Verifier {
    /// A verifier that gets its keys from the auth service when it meets a key id that it does not know.
    pub fn remote(auth: Transport) -> Self {
        Self::with_source(Some(AuthServiceClient::new(auth)))
    }

    /// A verifier that knows only the keys it is given by [`Verifier::set_keys`]; the auth service's own.
    pub fn local() -> Self {
        Self::with_source(None)
    }

    fn with_source(source: Option<AuthServiceClient<Transport>>) -> Self {
        Self {
            keys: Arc::default(),
            source,
            refresh: Arc::default(),
            verified: moka::sync::Cache::builder().max_capacity(50_000).time_to_live(Duration::from_hours(1)).build(),
        }
    }

    /// Replaces the keys by those of an RFC 7517 JWK set.
    ///
    /// # Errors
    /// 500 where a key is not a usable one.
    pub fn set_keys(&self, jwks_json: &str) -> Result<()> {
        let set: JwkSet = serde_json::from_str(jwks_json).map_err(Error::internal)?;
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            if let Some(kid) = &jwk.common.key_id {
                keys.insert(kid.clone(), DecodingKey::from_jwk(jwk).map_err(Error::internal)?);
            }
        }
        let mut current = self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let withdrawn = current.keys().any(|kid| !keys.contains_key(kid));
        *current = keys;
        drop(current);
        if withdrawn {
            self.verified.invalidate_all();
        }
        Ok(())
    }

    /// The user that `token` proves.
    ///
    /// # Errors
    /// 401 for a token that is malformed, expired or not ours; 503 where the keys cannot be had.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<User>> {
        if let Some(user) = self.verified.get(token) {
            return if user.expires_at > now.timestamp() { Ok(user) } else { Err(expired()) };
        }
        let key = self.key_of(token, now).await?;
        let user = Arc::new(User::from(decode(token, &key, now)?));
        self.verified.insert(token.to_owned(), Arc::clone(&user));
        Ok(user)
    }

    /// Whether keys are at hand, asking for them once where not.
    ///
    /// # Errors
    /// 503 where the auth service cannot be reached.
    pub async fn ready(&self, now: DateTime<Utc>) -> Result<()> {
        if self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty() {
            self.fetch(now).await?;
        }
        Ok(())
    }

    /// Asks for the keys again and again, so that a withdrawn one stops being believed. A verifier with keys of its own has
    /// nobody to ask.
    pub(crate) async fn follow(self, clock: Clock) {
        let Some(_) = &self.source else { return };
        loop {
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            if let Err(error) = self.fetch(clock.now()).await {
                tracing::debug!(error = %error, "the token keys stay as they are");
            }
        }
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(kid).cloned()
    }

    async fn key_of(&self, token: &str, now: DateTime<Utc>) -> Result<DecodingKey> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| malformed())?;
        let kid = header.kid.filter(|_| header.alg == Algorithm::EdDSA).ok_or_else(malformed)?;
        if let Some(key) = self.known(&kid) {
            return Ok(key);
        }
        let mut last = self.refresh.lock().await;
        // Whoever held the lock before may have fetched it.
        if let Some(key) = self.known(&kid) {
            return Ok(key);
        }
        if last.is_none_or(|last| (now - last).abs() >= REFRESH_INTERVAL) {
            self.fetch(now).await?;
            *last = Some(now);
        }
        self.known(&kid).ok_or_else(malformed)
    }

    async fn fetch(&self, now: DateTime<Utc>) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let request = grpc::service_request(GetJwksRequest::default(), now);
        let answer = source.clone().get_jwks(request).await.map_err(|status| {
            Error::unavailable("the auth service is not reachable, so the token cannot be checked; try again shortly")
                .with_source(status)
        })?;
        self.set_keys(&answer.into_inner().jwks_json)
    }
}

fn decode(token: &str, key: &DecodingKey, now: DateTime<Utc>) -> Result<Claims> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    // Expiry is checked below against the time passed in.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|_| malformed())?.claims;
    if claims.exp <= now.timestamp() { Err(expired()) } else { Ok(claims) }
}

fn malformed() -> Error {
    Error::unauthenticated("the access token is not valid; log in again")
}

fn expired() -> Error {
    Error::unauthenticated("the access token has expired; refresh it or log in again").with_code("token_expired")
}
