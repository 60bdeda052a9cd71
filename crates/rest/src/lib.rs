//! The REST surface of CareerOS, written once.
//!
//! Each module holds the routes of one area: request types, and handlers that convert and call an RPC. The gateway mounts
//! all of them under `/v1` over connections to the services; each service mounts its own on its own port, over its own
//! RPCs. Identity rules and checks of values live behind the RPCs, so that all three ways in obey them.
//! What the reference says of a route is made from its handler and from the words beside it, see [`api`].
//!
//! Responses are the RPC messages themselves, whose field names are those of the REST contract.

pub mod ai;
pub mod analytics;
pub mod api;
pub mod auth;
pub mod billing;
pub mod edu_tracker;
pub mod lms;
mod page;
pub mod profiles;
pub mod roadmaps;

use careeros_shared::proto::common::Ack;
use serde::Serialize;
use utoipa::ToSchema;

/// The answer to a change that returns nothing else.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Done {
    /// Always true; a failure is a problem.
    pub ok: bool,
}

impl From<Ack> for Done {
    fn from(ack: Ack) -> Self {
        Self { ok: ack.ok }
    }
}
