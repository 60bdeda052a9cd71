//! What every CareerOS service stands on. It knows no service's business.
//!
//! | module | what it owns |
//! |---|---|
//! | [`boot`], [`ending`] | the boot sequence and the drain |
//! | [`env`], [`config`], [`production`] | the environment, checked as a whole |
//! | [`error`], [`validate`] | the error type and its HTTP and gRPC forms; input checks |
//! | [`context`], [`correlation`] | what every call carries |
//! | [`identity`], [`directory`] | tokens and roles; whom a request is about |
//! | [`service_secret`] | what services prove themselves to each other by |
//! | [`http`], [`extract`], [`health`] | the HTTP edge |
//! | [`grpc`], [`proto`] | channels, servers, generated code |
//! | [`db`], [`batch`], [`idempotency`], [`page`], [`sweep`] | PostgreSQL |
//! | [`events`], [`outbox`], [`consumer`], [`dead_letter`], [`projection`], [`kafka`] | events out and in |
//! | [`telemetry`], [`metrics`], [`trace`] | logs, metrics, traces |
//! | [`clock`], [`id`] | time and ids |

pub mod batch;
pub mod boot;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod context;
pub mod correlation;
pub mod db;
pub mod dead_letter;
pub mod directory;
pub mod ending;
pub mod env;
pub mod error;
pub mod events;
pub mod extract;
pub mod grpc;
pub mod health;
pub mod http;
pub mod id;
pub mod idempotency;
pub mod identity;
pub mod kafka;
pub mod metrics;
pub mod outbox;
pub mod page;
pub mod production;
pub mod projection;
pub mod proto;
mod relay;
pub mod service_secret;
pub mod sweep;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
pub mod validate;

pub use error::{Error, Result};
