//! The gateway's routes: every area of the REST surface under `/v1`, behind the rate limit and CORS.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderName, Method, header},
    middleware::from_fn_with_state,
};
use careeros_shared::http::{method_not_allowed, not_found};
use tower_http::cors::{Any, CorsLayer};

use crate::{
    config::Origins,
    peers::Peers,
    throttle::{self, Throttle},
};

/// All routes.
pub fn router(peers: &Peers, throttle: Throttle, origins: Origins) -> Router {
    let v1 = Router::new()
        .merge(careeros_rest::auth::routes(peers.auth.clone()))
        .merge(careeros_rest::profiles::routes(peers.profile.clone()))
        .merge(careeros_rest::ai::routes(peers.ai_core.clone()))
        .merge(careeros_rest::roadmaps::routes(peers.roadmap.clone()))
        .merge(careeros_rest::lms::routes(peers.lms.clone()))
        .merge(careeros_rest::edu_tracker::routes(peers.edu_tracker.clone()))
        .merge(careeros_rest::billing::routes(peers.billing.clone()))
        .merge(careeros_rest::analytics::routes(peers.analytics.clone()))
        // A browser shows a page only those errors that carry CORS's headers.
        .fallback(not_found);
    Router::new()
        .nest("/v1", v1)
        .layer(from_fn_with_state(throttle, throttle::limit))
        // Keys are fetched by machines on their own schedule; they are small, public and cacheable.
        .merge(careeros_rest::auth::well_known(peers.auth.clone()))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(cors(origins))
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
