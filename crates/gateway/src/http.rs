//! The gateway's routes: every area of the REST surface under `/v1`, behind the rate limit and CORS.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderName, Method, header},
    middleware::from_fn_with_state,
};
use careeros_rest::api::Api;
use careeros_shared::http::{method_not_allowed, not_found};
use tower_http::cors::{Any, CorsLayer};

use crate::{
    config::Origins,
    peers::Peers,
    reference,
    throttle::{self, Throttle},
};

/// All routes.
pub fn router(peers: &Peers, throttle: Throttle, origins: Origins) -> Router {
    let api = api(peers, throttle);
    let reference = reference::routes(&reference::document(&api));
    api.into_router().merge(reference).method_not_allowed_fallback(method_not_allowed).layer(cors(origins))
}

/// The routes of all areas with what the reference says of them.
pub fn api(peers: &Peers, throttle: Throttle) -> Api {
    let areas = careeros_rest::auth::api(peers.auth.clone())
        .merge(careeros_rest::profiles::api(peers.profile.clone()))
        .merge(careeros_rest::ai::api(peers.ai_core.clone()))
        .merge(careeros_rest::roadmaps::api(peers.roadmap.clone()))
        .merge(careeros_rest::lms::api(peers.lms.clone()))
        .merge(careeros_rest::edu_tracker::api(peers.edu_tracker.clone()))
        .merge(careeros_rest::billing::api(peers.billing.clone()))
        .merge(careeros_rest::analytics::api(peers.analytics.clone()));
    areas
        // A browser shows a page only those errors that carry CORS's headers.
        .map(|router| router.fallback(not_found))
        .nest("/v1")
        .map(|router| router.layer(from_fn_with_state(Arc::new(throttle), throttle::limit)))
        // Keys are fetched by machines on their own schedule; they are small, public and cacheable.
        .merge(careeros_rest::auth::well_known_api(peers.auth.clone()))
}

fn cors(origins: Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-correlation-id"),
            HeaderName::from_static("x-tenant-id"),
            HeaderName::from_static("traceparent"),
        ])
        .expose_headers([
            header::RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-correlation-id"),
        ])
        .max_age(Duration::from_hours(1));
    match origins {
        Origins::Any => layer.allow_origin(Any),
        Origins::Listed(origins) => layer.allow_origin(origins),
    }
}
