//! What a user holds of a session: a signed access token and an opaque refresh token.

use std::collections::BTreeSet;

use careeros_shared::{
    Result,
    identity::{AUDIENCE, Claims, ISSUER, Role},
    proto::auth::TokenPair,
};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    keys::{Keys, Signer},
    secrets::{Opaque, Root, Secrets},
};

/// Makes tokens.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Sign the access tokens.
    pub keys: Keys,
    /// Make the refresh tokens.
    pub secrets: Secrets,
    /// How long the tokens live.
    pub lifetimes: Lifetimes,
}

/// How long tokens live.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// `JWT_ACCESS_EXPIRES_IN`.
    pub access: TimeDelta,
    /// `JWT_REFRESH_EXPIRES_IN`.
    pub refresh: TimeDelta,
}

/// Whom tokens are for, as of when.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The user.
    pub user_id: Uuid,
    /// The user's tenant.
    pub tenant_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// What the user may be.
    pub roles: BTreeSet<Role>,
    /// When the tokens are made.
    pub at: DateTime<Utc>,
}

impl Issuer {
    /// Whoever signs at `now`. Ask before a transaction begins: it may take a connection of its own.
    ///
    /// # Errors
    /// 503 where there is no key and the database is away.
    pub async fn signer(&self, now: DateTime<Utc>) -> Result<Signer> {
        self.keys.signer(now).await
    }

    /// An access token that goes with `refresh`, which was derived from `root`. It is a function of its arguments, so that an
    /// answer made again is the same answer.
    ///
    /// # Errors
    /// 500 where it cannot be signed.
    pub fn pair(&self, root: &Root, signer: &Signer, holder: &Holder, refresh: &Opaque) -> Result<TokenPair> {
        let mut jti = [0; 16];
        jti.copy_from_slice(&root.derive("jti", &[refresh.as_bytes()])[..16]);
        let claims = Claims {
            sub: holder.user_id,
            tid: holder.tenant_id,
            sid: holder.session_id,
            roles: holder.roles.clone(),
            iat: holder.at.timestamp(),
            exp: (holder.at + self.lifetimes.access).timestamp(),
            jti: uuid::Builder::from_custom_bytes(jti).into_uuid(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
        };
        Ok(TokenPair { access_token: signer.sign(&claims)?, refresh_token: refresh.reveal() })
    }
}
