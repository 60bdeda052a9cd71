//! Extractors whose failures are problems that name the field.

use std::sync::Arc;

use axum::{
    RequestExt,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{
    context::{self, Client, Context},
    correlation::Correlation,
    error::{Error, Kind, Result},
    http::{BODY_LIMIT, Edge, client_ip},
    identity::{Caller, Role},
};

/// How deep a JSON body may nest.
const DEPTH_LIMIT: usize = 32;

/// A JSON body. Unknown, missing and mistyped fields are 400 and named, where `T` denies unknown fields.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        check_content_type(request.headers())?;
        let body = Body::from_request(request, state).await?.0;
        // serde reads an array as the fields of a struct in their order, which nobody has been promised.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Error::invalid("body", "must be a JSON object"));
        }
        parse_json(&body).map(Json)
    }
}

/// The raw body, at most [`BODY_LIMIT`] bytes.
#[derive(Debug)]
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let body = request.extract::<Bytes, _>().await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Error::new(Kind::TooLarge, format!("the body has more than {BODY_LIMIT} bytes"))
            } else {
                Error::new(Kind::Invalid, "the body could not be read to its end")
            }
        })?;
        Ok(Self(body))
    }
}

/// Path parameters.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| {
                let text = rejection.body_text();
                Error::invalid(camel_case(quoted(&text).unwrap_or("path")), text)
            })
    }
}

/// The query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(value)| Self(value)).map_err(
            |rejection| {
                let text = rejection.body_text();
                let text = text.trim_start_matches("Failed to deserialize query string: ");
                let field = quoted(text).or_else(|| text.split_once(": ").map(|(path, _)| path));
                Error::invalid(field.unwrap_or("query"), text)
            },
        )
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = Error;

    /// The call's context; the caller is whoever the token proves, or anonymous. A layer that has made it puts it back into
    /// the extensions for the handler.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        if let Some(made) = parts.extensions.remove::<Self>() {
            return Ok(made);
        }
        let edge = parts
            .extensions
            .get::<Arc<Edge>>()
            .cloned()
            .ok_or_else(|| Error::internal(anyhow::anyhow!("the request did not pass the edge")))?;
        let now = edge.clock.now();
        let token = context::bearer(&parts.headers);
        let caller = match token {
            Some(token) => edge.verifier.verify(token, now).await.map(Caller::User).map_err(Arc::new),
            None => Ok(Caller::Anonymous),
        };
        Ok(Self {
            now,
            correlation: parts
                .extensions
                .get::<Correlation>()
                .cloned()
                .unwrap_or_else(|| Correlation::from_headers(&parts.headers, now)),
            client: Client {
                ip: client_ip(parts, &edge),
                agent: context::agent(&parts.headers, header::USER_AGENT.as_str()),
            },
            idempotency_key: context::idempotency_key(&parts.headers)?,
            token: token.map(SecretString::from),
            caller,
        })
    }
}

/// The context of a call that needs a user: 401 without a valid token, 403 where `x-tenant-id` names another tenant.
#[derive(Debug)]
pub struct UserContext(pub Context);

impl<S: Send + Sync> FromRequestParts<S> for UserContext {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let context = Context::from_request_parts(parts, state).await?;
        let user = context.user()?;
        if let Some(tenant) = parts.headers.get("x-tenant-id") {
            let tenant = tenant.to_str().ok().and_then(|t| Uuid::try_parse(t).ok());
            let tenant = tenant.ok_or_else(|| Error::invalid("x-tenant-id", "must be a UUID"))?;
            if tenant != user.tenant_id && !user.is(Role::Operator) {
                return Err(Error::forbidden("x-tenant-id names a tenant that the access token is not for"));
            }
        }
        Ok(Self(context))
    }
}

/// Reads `body` as JSON.
///
/// # Errors
/// 400 naming the field that is unknown, missing, mistyped or nested too deep.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    if depth(body) > DEPTH_LIMIT {
        return Err(Error::invalid("body", format!("must not nest deeper than {DEPTH_LIMIT} levels")));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        json_error(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| json_error(".", &error))?;
    Ok(value)
}

fn json_error(path: &str, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // serde_json ends its messages with a position, which means nothing to whoever sent fields.
    let message = text.split(" at line ").next().unwrap_or(&text);
    if !error.is_data() {
        return Error::invalid("body", format!("must be JSON: {text}"));
    }
    let named = (message.starts_with("unknown field") || message.starts_with("missing field"))
        .then(|| quoted(message))
        .flatten();
    let field = match (path, named) {
        ("." | "?", Some(name)) => name.to_owned(),
        ("." | "?", None) => "body".to_owned(),
        // The path of an unknown field already ends with it.
        (path, Some(name)) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        (path, Some(name)) => format!("{path}.{name}"),
        (path, None) => path.to_owned(),
    };
    let message = match message {
        m if m.starts_with("missing field") => "is required",
        m if m.starts_with("unknown field") => "is not a known field",
        m => m,
    };
    // What a struct is called in here says nothing to whoever sent JSON.
    match message.split_once(", expected struct ") {
        Some((wrong, _)) => Error::invalid(field, format!("{wrong}, expected an object")),
        None => Error::invalid(field, message),
    }
}

/// What stands between the first pair of backticks.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// A name with underscores as REST spells it: `userId` for `user_id`.
pub fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

/// The deepest nesting of arrays and objects, without parsing.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Error::new(Kind::UnsupportedMediaType, "the body must be sent as application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Skill {
        #[expect(dead_code, reason = "only parsed")]
        skill_key: String,
        #[expect(dead_code, reason = "only parsed")]
        levels: Vec<u8>,
    }

    fn failing_field(body: &str) -> String {
        parse_json::<Skill>(body.as_bytes()).unwrap_err().fields()[0].field.clone()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(failing_field(r#"{"levels":[]}"#), "skillKey");
        assert_eq!(failing_field(r#"{"skillKey":"a","levels":[],"admin":true}"#), "admin");
        assert_eq!(failing_field(r#"{"skillKey":7,"levels":[]}"#), "skillKey");
        assert_eq!(failing_field(r#"{"skillKey":"a","levels":[1,"x"]}"#), "levels[1]");
        assert_eq!(failing_field("{"), "body");
        assert_eq!(failing_field(&format!("{}{}", "[".repeat(40), "]".repeat(40))), "body");
        assert_eq!(failing_field("[]"), "body");
        let error = parse_json::<Skill>(b"7").unwrap_err();
        assert_eq!(error.fields()[0].message, "invalid type: integer `7`, expected an object");
    }

    #[tokio::test]
    async fn an_array_is_not_taken_for_an_objects_fields() {
        let request = Request::new(axum::body::Body::from(r#" ["rust",[1]]"#));
        let error = Json::<Skill>::from_request(request, &()).await.unwrap_err();
        assert_eq!(error.fields()[0].field, "body");
    }

    #[tokio::test]
    async fn a_path_that_is_no_text_names_its_parameter() {
        let router = axum::Router::new().route(
            "/profiles/{user_id}",
            axum::routing::get(async |path: Result<Path<String>>| {
                path.err().map(|error| error.fields()[0].field.clone()).unwrap_or_default()
            }),
        );
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = "/profiles/%ff".parse().unwrap();
        let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, "userId");
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert_eq!(depth(br#"{"a":"[[[\"[[["}"#), 1);
    }
}
