//! The services behind the gateway: one kept connection to each, with a deadline.

use std::time::Duration;

use careeros_shared::{
    boot::Runtime,
    grpc::{Deadlines, Transport, check_health},
    health::Readiness,
};

use crate::config::PeerUrls;

/// How long a call may take, and how long one that may ask a language model; within the edge's own timeout, so that the
/// answer names the reason.
const DEADLINES: Deadlines = Deadlines {
    usual: Duration::from_secs(5),
    long: Duration::from_secs(28),
    patient: &["ExecuteFlow", "ChatMentor", "StreamChatMentor", "InterviewTurn"],
};

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
            auth: runtime.connect(&urls.auth, DEADLINES)?,
            profile: runtime.connect(&urls.profile, DEADLINES)?,
            ai_core: runtime.connect(&urls.ai_core, DEADLINES)?,
            roadmap: runtime.connect(&urls.roadmap, DEADLINES)?,
            lms: runtime.connect(&urls.lms, DEADLINES)?,
            edu_tracker: runtime.connect(&urls.edu_tracker, DEADLINES)?,
            billing: runtime.connect(&urls.billing, DEADLINES)?,
            analytics: runtime.connect(&urls.analytics, DEADLINES)?,
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

#[cfg(test)]
mod tests {
    use careeros_shared::proto::DESCRIPTORS;

    use super::*;

    #[test]
    fn the_patient_rpcs_exist() {
        for rpc in DEADLINES.patient {
            assert!(DESCRIPTORS.windows(rpc.len()).any(|name| name == rpc.as_bytes()), "{rpc}");
        }
    }
}
