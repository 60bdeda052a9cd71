//! Access tokens of a test's own users, signed with a key that only tests know.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use uuid::Uuid;

use crate::identity::{AUDIENCE, Claims, ISSUER, Role, Verifier};

const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIDKrIUW7ycqE+XGHto9pmRYEuhGHXz/V27YwiG5ekrb5
-----END PRIVATE KEY-----";
const KID: &str = "test";

/// The JWK set that test tokens verify with.
pub fn jwks() -> String {
    serde_json::json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KID,
        "x": "PUs7peRXizHl3o3Tp0b7GWd1OyEoxPNC_2xt0KrKQ_g"
    }]})
    .to_string()
}

/// A verifier of test tokens.
pub fn verifier() -> Verifier {
    let verifier = Verifier::local();
    verifier.set_keys(&jwks()).expect("the test keys are usable");
    verifier
}

/// Somebody to make requests as.
#[derive(Debug, Clone)]
pub struct TestUser {
    /// The user's id.
    pub id: Uuid,
    /// The user's tenant.
    pub tenant_id: Uuid,
    /// A token that is valid for 15 minutes from [`super::start`].
    pub token: String,
}

impl TestUser {
    /// A student in a tenant of its own.
    pub fn student() -> Self {
        Self::new(super::id(), &[Role::Student])
    }

    /// A user of `tenant_id` with `roles`.
    pub fn new(tenant_id: Uuid, roles: &[Role]) -> Self {
        Self::at(super::id(), tenant_id, roles, super::start().timestamp())
    }

    /// A user with a token issued at `iat` (Unix seconds) for 15 minutes.
    pub fn at(id: Uuid, tenant_id: Uuid, roles: &[Role], iat: i64) -> Self {
        let claims = Claims {
            sub: id,
            tid: tenant_id,
            sid: super::id(),
            roles: roles.iter().copied().collect(),
            iat,
            exp: iat + 900,
            jti: super::id(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
        };
        let header = Header { kid: Some(KID.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_pem(KEY).expect("the test key is a key");
        let token = jsonwebtoken::encode(&header, &claims, &key).expect("claims can be signed");
        Self { id, tenant_id, token }
    }
}
