//! The nine services by name.

/// The services, in the order of [`careeros_fleet::services::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Gateway,
    Auth,
    Profile,
    AiCore,
    Roadmap,
    Lms,
    EduTracker,
    Billing,
    Analytics,
}

impl Service {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Gateway,
        Self::Auth,
        Self::Profile,
        Self::AiCore,
        Self::Roadmap,
        Self::Lms,
        Self::EduTracker,
        Self::Billing,
        Self::Analytics,
    ];

    /// What figures call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Auth => "auth",
            Self::Profile => "profile",
            Self::AiCore => "ai-core",
            Self::Roadmap => "roadmap",
            Self::Lms => "lms",
            Self::EduTracker => "edu-tracker",
            Self::Billing => "billing",
            Self::Analytics => "analytics",
        }
    }

    /// Its place in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use careeros_fleet::services;

    use super::*;

    #[test]
    fn services_are_named_as_the_fleet_orders_them() {
        for (service, entry) in Service::ALL.into_iter().zip(&services::ALL) {
            let (ours, theirs) = (service.name(), entry.service.name);
            assert!(theirs.contains(ours), "{ours} stands for {theirs}");
        }
    }
}
