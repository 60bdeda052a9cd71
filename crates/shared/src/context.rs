//! What every call carries besides its message: who calls, from where, since when, and as part of which request.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, HeaderValue, header};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    correlation::Correlation,
    error::{Error, Result},
    identity::{Caller, User},
};

/// gRPC metadata key of the client's address, believed only from a holder of the shared secret.
pub(crate) const CLIENT_IP: &str = "x-client-ip";
/// gRPC metadata key of the client's user agent.
pub(crate) const CLIENT_AGENT: &str = "x-client-agent";
/// Header and metadata key of the idempotency key.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest idempotency key in bytes.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// What a handler knows of the call that it answers.
#[derive(Debug, Clone)]
pub struct Context {
    /// When the call came in; the one time that the handler uses.
    pub now: DateTime<Utc>,
    /// The request that the call is part of.
    pub correlation: Correlation,
    /// The client's address and program.
    pub client: Client,
    /// The client's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    pub(crate) token: Option<SecretString>,
    pub(crate) caller: Result<Caller, Arc<Error>>,
}

/// The program at the other end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Its `User-Agent`, at most 255 characters.
    pub agent: String,
}

impl Context {
    /// Who calls.
    ///
    /// # Errors
    /// 401 where a token came with the call and is not valid, 503 where it could not be checked.
    pub fn caller(&self) -> Result<&Caller> {
        self.caller.as_ref().map_err(|error| error.copy())
    }

    /// The user who calls.
    ///
    /// # Errors
    /// 401 where no valid token came with the call.
    pub fn user(&self) -> Result<&Arc<User>> {
        match self.caller()? {
            Caller::User(user) => Ok(user),
            Caller::Service | Caller::Anonymous => Err(Error::unauthenticated("this needs an access token")),
        }
    }

    /// The context of work that no request caused, in the service's own name.
    pub fn internal(now: DateTime<Utc>) -> Self {
        Self {
            now,
            correlation: Correlation::new(now),
            client: Client::default(),
            idempotency_key: None,
            token: None,
            caller: Ok(Caller::Service),
        }
    }

    /// The same call with nobody calling: for routes that establish who calls, where a token that happens to come along,
    /// perhaps an expired one, has no say.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { token: None, caller: Ok(Caller::Anonymous), ..self.clone() }
    }

    /// Wraps `message` for a call to another service as part of this request: on the user's behalf, with the same
    /// correlation.
    pub fn request<M>(&self, message: M) -> tonic::Request<M> {
        let mut headers = HeaderMap::new();
        self.correlation.write(&mut headers);
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(ip) = self.client.ip {
            set(CLIENT_IP, &ip.to_string());
        }
        if !self.client.agent.is_empty() {
            set(CLIENT_AGENT, &self.client.agent);
        }
        if let Some(key) = &self.idempotency_key {
            set(IDEMPOTENCY_KEY, key);
        }
        if let Some(token) = &self.token
            && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if matches!(self.caller, Ok(Caller::Service)) {
            headers.insert(crate::grpc::ACTING_AS, HeaderValue::from_static("service"));
        }
        let metadata = tonic::metadata::MetadataMap::from_headers(headers);
        tonic::Request::from_parts(metadata, tonic::Extensions::default(), message)
    }

    /// As [`Context::request`], without the idempotency key: for a further call that has an effect of its own.
    pub fn subrequest<M>(&self, message: M) -> tonic::Request<M> {
        Self { idempotency_key: None, ..self.clone() }.request(message)
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750, the scheme in any case).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// The user agent as text, cut to what is stored.
pub(crate) fn agent(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|v| v.to_str().ok()).map(|v| v.chars().take(255).collect()).unwrap_or_default()
}

/// The `Idempotency-Key`.
///
/// # Errors
/// 400 where it is empty, too long or not visible ASCII.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Error::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")),
    }
}
