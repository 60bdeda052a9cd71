//! The reference of `/auth`.

use careeros_shared::error::Kind;
use serde_json::{Value, json};

use crate::api::{
    Doc,
    samples::{ACCESS_TOKEN, REFRESH_TOKEN, SESSION, TENANT, USER},
};

pub(super) const ABOUT: &str = "Accounts, logins, tokens, sessions.";
pub(super) const ABOUT_KEYS: &str = "The public keys that access tokens are signed with.";

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery staple";
const NEXT_REFRESH_TOKEN: &str = "2WbCTLRqZ9QmVqJz3b4W6b9a0d2f1k8sXo5yUe7hPqI";
const LOGIN_BUSY: &str = "too many people are logging in just now; try again in a second";
const SESSION_ENDED: &str = "this session has ended; log in again";

fn logged_in() -> Value {
    json!({
        "userId": USER,
        "tenantId": TENANT,
        "tokens": {"accessToken": ACCESS_TOKEN, "refreshToken": REFRESH_TOKEN},
    })
}

pub(super) fn register() -> Doc {
    Doc::new("Make an account")
        .about(
            "Without an invitation the user gets a tenant of their own with the roles STUDENT and ADMIN; with one, the \
             tenant and roles of the invitation. The answer holds the tokens of a first session.",
        )
        .request(json!({"email": EMAIL, "password": PASSWORD}))
        .answer(logged_in())
        .idempotent()
        .fails(
            Kind::Forbidden,
            "invitation_required",
            "joining a tenant needs an invitation from its ADMIN: send invitationToken",
        )
        .fails(
            Kind::Forbidden,
            "invitation_invalid",
            "the invitation is unknown, used, expired, or for another address or tenant",
        )
        .fails(Kind::Conflict, "email_taken", "there is an account with this e-mail address; log in instead")
        .fails(Kind::Unavailable, "login_busy", LOGIN_BUSY)
}

pub(super) fn login() -> Doc {
    Doc::new("Log in")
        .about("The same answer whether or not there is an account with the address. Failures are limited per account \
                and per address: after 5 of an account one more try a minute, after 50 from an address one more each 10 s.")
        .request(json!({"email": EMAIL, "password": PASSWORD}))
        .answer(logged_in())
        .idempotent()
        .fails(Kind::Unauthenticated, "invalid_credentials", "the e-mail address or the password is wrong")
        .fails(
            Kind::TooManyRequests,
            "login_throttled",
            "too many failed logins; wait a little and try again",
        )
        .fails(Kind::Unavailable, "login_busy", LOGIN_BUSY)
}

pub(super) fn refresh() -> Doc {
    Doc::new("Get the next tokens")
        .about(
            "The refresh token is good once; its successor is in the answer, and the session lives 30 days from then on. \
             Using it twice ends the session, so send a new random `Idempotency-Key` with every refresh and repeat it in \
             retries: the same token with the same key within 60 seconds gets the same pair again.",
        )
        .request(json!({"refreshToken": REFRESH_TOKEN}))
        .answer(json!({"accessToken": ACCESS_TOKEN, "refreshToken": NEXT_REFRESH_TOKEN}))
        .idempotent()
        .fails(Kind::Unauthenticated, "refresh_token_invalid", "the refresh token is not valid; log in again")
        .fails(Kind::Unauthenticated, "refresh_token_expired", "the refresh token has expired; log in again")
        .fails(
            Kind::Unauthenticated,
            "refresh_token_reused",
            "the refresh token was used before, so its session was ended; log in again",
        )
}

pub(super) fn validate_token() -> Doc {
    Doc::new("Check an access token")
        .about("200 also where the token is not valid or its session has ended; `valid` is false then.")
        .request(json!({"accessToken": ACCESS_TOKEN}))
        .answer(json!({"valid": true, "user_id": USER, "tenant_id": TENANT, "roles": ["STUDENT", "ADMIN"]}))
}

pub(super) fn create_invitation() -> Doc {
    Doc::new("Invite somebody into the tenant")
        .about(
            "For ADMINs. The invitation is for the address alone, for 7 days and one use. Its token is shown here only; \
             sending it to the person is the caller's.",
        )
        .request(json!({"email": "bob@example.com", "roles": ["INSTRUCTOR"]}))
        .answer(json!({
            "invitationId": "01a20729-9d3e-7783-bb69-29f74e1a2dcb",
            "invitationToken": "LHU7lXFPn555IrNEL9lDFg3mecDMcavFW6n4iyx4UGQ",
            "tenantId": TENANT,
            "email": "bob@example.com",
            "roles": ["STUDENT", "INSTRUCTOR"],
            "expiresAt": "2026-11-30T06:48:17.470Z",
        }))
        .idempotent()
        .fails(Kind::Unauthenticated, "session_ended", SESSION_ENDED)
}

pub(super) fn logout() -> Doc {
    Doc::new("Log out")
        .about(
            "Ends the session of the access token. No body. The refresh token is worth nothing from then on; the access \
             token is refused at once by `/auth/me`, `/auth/sessions` and `/auth/invitations`, by other areas when it \
             expires.",
        )
        .answer(json!({"ok": true}))
        .fails(Kind::Unauthenticated, "session_ended", SESSION_ENDED)
}

pub(super) fn get_current_user() -> Doc {
    Doc::new("Who am I")
        .answer(json!({
            "userId": USER,
            "tenantId": TENANT,
            "email": EMAIL,
            "status": "ACTIVE",
            "roles": ["STUDENT", "ADMIN"],
            "permissions": ["*", "ai:execute:basic", "lms:enroll", "roadmap:read", "roadmap:update"],
            "createdAt": "2026-11-23T06:48:16.934Z",
        }))
        .about("The user whom the access token is for, with roles and permissions.")
        .fails(Kind::Unauthenticated, "session_ended", SESSION_ENDED)
}

pub(super) fn list_sessions() -> Doc {
    Doc::new("List sessions")
        .about("Where the user is logged in, the last used first, up to 100.")
        .answer(json!({
            "items": [{
                "sessionId": SESSION,
                "userAgent": "curl/7.88.1",
                "ipAddress": "127.0.0.1",
                "createdAt": "2026-11-23T06:48:16.934Z",
                "lastUsedAt": "2026-11-23T06:48:16.934Z",
                "expiresAt": "2026-12-23T06:48:16.934Z",
                "current": true,
            }],
        }))
        .fails(Kind::Unauthenticated, "session_ended", SESSION_ENDED)
}

pub(super) fn revoke_session() -> Doc {
    Doc::new("End a session")
        .about("Ends one of the caller's sessions; 404 where it is not one of theirs that runs.")
        .answer(json!({"ok": true}))
        .missing("session not found")
        .fails(Kind::Unauthenticated, "session_ended", SESSION_ENDED)
}

pub(super) fn get_jwks() -> Doc {
    Doc::new("Get the signing keys")
        .about("Cacheable for 60 seconds. More than one key is there while keys change: choose by `kid`.")
        .unlimited()
        .answer(json!({
            "keys": [{
                "use": "sig", "alg": "EdDSA", "kid": "ZBQT2r_B9yZ3sXq1", "kty": "OKP", "crv": "Ed25519",
                "x": "e7CFpSSsXkHd2jT0b1yQzFh3oV9nLq5cWmRzYgUa4aE",
            }],
        }))
}
