//! The services behind the gateway: one kept connection to each, with a deadline.

use std::time::Duration;

use careeros_shared::{
    boot::Runtime,
    grpc::{Transport, check_health},
    health::Readiness,
};

use crate::config::PeerUrls;

/// How long a call may take; within the edge's own timeout, so that the answer names the reason.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a call that may ask a language model may take.
const MODEL_DEADLINE: Duration = Duration::from_secs(28);

/// A transport to each service.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the service of that name")]
pub struct Peers {
    pub auth: Transport,
    pub profile: Transport,
    pub ai_core: Transport,
    pub roadmap: Transport,
    pub lms: Transport,
    pub edu_tracker: Transport,
    pub billing: Transport,
    pub analytics: Transport,
}

impl Peers {
    /// Transports to `urls` that connect when first used.
    ///
    /// # Errors
    /// Where a URL is not an address.
    pub fn connect(runtime: &Runtime, urls: &PeerUrls) -> anyhow::Result<Self> {
        Ok(Self {
            auth: runtime.connect(&urls.auth, DEADLINE)?,
            profile: runtime.connect(&urls.profile, DEADLINE)?,
            ai_core: runtime.connect(&urls.ai_core, MODEL_DEADLINE)?,
            // An interview turn asks AI core.
            roadmap: runtime.connect(&urls.roadmap, MODEL_DEADLINE)?,
            lms: runtime.connect(&urls.lms, DEADLINE)?,
            edu_tracker: runtime.connect(&urls.edu_tracker, DEADLINE)?,
            billing: runtime.connect(&urls.billing, DEADLINE)?,
            analytics: runtime.connect(&urls.analytics, DEADLINE)?,
        })
    }

    /// Adds every service to `readiness`.
    pub fn readiness(&self, readiness: Readiness) -> Readiness {
        let peers = [
            ("auth-service", &self.auth),
            ("user-profile-service", &self.profile),
            ("ai-core-service", &self.ai_core),
            ("roadmap-service", &self.roadmap),
            ("lms-service", &self.lms),
            ("edu-tracker-service", &self.edu_tracker),
            ("subscription-billing-service", &self.billing),
            ("analytics-service", &self.analytics),
        ];
        peers.into_iter().fold(readiness, |readiness, (name, transport)| {
            let transport = transport.clone();
            readiness.with(name, move || check_health(transport.clone()))
        })
    }
}
