//! The API reference: the OpenAPI document of everything that the gateway answers, and a page that shows it.
//!
//! The page is Swagger UI out of this binary. It loads nothing from elsewhere, and its policy forbids it to.

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use careeros_rest::api::{Api, problems};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

mod operations;

/// Where the document is.
pub const DOCUMENT_PATH: &str = "/v1/openapi.json";
/// Where the page is; its parts are below.
pub const PAGE_PATH: &str = "/docs";

/// Scripts, styles and requests from here alone; nobody frames the page. Swagger UI draws icons from data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file that does not change while the process runs.
#[derive(Debug, Clone)]
struct Static {
    content_type: &'static str,
    etag: HeaderValue,
    body: bytes::Bytes,
}

impl Static {
    fn new(content_type: &'static str, body: impl Into<bytes::Bytes>) -> Self {
        let body = body.into();
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&body)[..12]));
        let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { content_type, etag, body }
    }

    /// 304 to whoever has it already.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let etag = self.etag.to_str().unwrap_or_default();
        let is_known = known
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|known| known == "*" || known.trim_start_matches("W/") == etag);
        let common = [
            (header::ETAG, self.etag.clone()),
            // Asked for again at each use, which costs a 304.
            (header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache")),
        ];
        if is_known {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let guards = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.content_type)),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        ];
        (common, guards, self.body.clone()).into_response()
    }
}

/// The OpenAPI document of `api` and of what the gateway has beside it.
pub fn document(api: &Api) -> Value {
    let mut components = problems::components();
    for (name, schema) in api.schemas() {
        components["schemas"][name.as_str()] = schema.clone();
    }
    let mut paths = api.paths();
    for (path, item) in operations::paths() {
        paths[path] = item;
    }
    let mut tags = api.tags().to_vec();
    tags.push(json!({"name": operations::TAG, "description": "Health, metrics and this reference."}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "CareerOS API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Profiles, AI flows, roadmaps, courses, progress, billing and key figures.",
            "description": include_str!("reference/about.md"),
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This gateway."}],
        "tags": tags,
        "paths": paths,
        "components": components,
    })
}

/// The routes of the document and of the page.
pub fn routes(document: &Value) -> Router {
    let parts = [
        (DOCUMENT_PATH, Static::new("application/json", document.to_string())),
        (PAGE_PATH, Static::new("text/html; charset=utf-8", include_str!("reference/page.html"))),
        ("/docs/page.js", Static::new(JAVASCRIPT, include_str!("reference/page.js"))),
        ("/docs/page.css", Static::new(CSS, include_str!("reference/page.css"))),
        ("/docs/swagger-ui-bundle.js", Static::new(JAVASCRIPT, SWAGGER_UI)),
        ("/docs/swagger-ui.css", Static::new(CSS, SWAGGER_UI_STYLE)),
    ];
    parts.into_iter().fold(Router::new(), |router, (path, part)| {
        router.route(path, get(async move |headers: HeaderMap| part.answer(&headers)))
    })
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SWAGGER_UI: &str = include_str!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js"));
const SWAGGER_UI_STYLE: &str = include_str!(concat!(env!("OUT_DIR"), "/swagger-ui.css"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_file_gets_304() {
        let file = Static::new("text/plain", "x");
        let mut headers = HeaderMap::new();
        assert_eq!(file.answer(&headers).status(), StatusCode::OK);
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(file.answer(&headers).status(), StatusCode::OK);
        let weak = format!("\"other\", W/{}", file.etag.to_str().unwrap());
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(&weak).unwrap());
        assert_eq!(file.answer(&headers).status(), StatusCode::NOT_MODIFIED);
    }
}
