//! The settings that the roadmap service has besides the common ones.

use std::time::Duration;

use careeros_shared::{
    config::{self, Stores},
    env::Reader,
};

/// How long an AI flow may take; below the 30 seconds after which the REST edge gives up.
pub const AI_DEADLINE: Duration = Duration::from_secs(25);

/// Where the service keeps its state and whom it asks.
#[derive(Debug, Clone)]
pub struct Config {
    /// Database and broker.
    pub stores: Stores,
    /// `AI_CORE_GRPC_URL`: where AI flows run.
    pub ai_core_grpc_url: String,
}

impl Config {
    /// Reads the settings.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            stores: Stores::read(reader),
            ai_core_grpc_url: config::peer(reader, "AI_CORE_GRPC_URL", "localhost:6003"),
        }
    }
}
