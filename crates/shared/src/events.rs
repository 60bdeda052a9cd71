//! Domain events: the envelope that every record holds and the trait that ties a payload to its topic.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::error::{Error, Result};

mod payload;

pub use payload::*;

/// A payload of the event contract.
pub trait Event: Serialize + DeserializeOwned + Send + Sync {
    /// The `event_type`, e.g. `UserRegistered`.
    const TYPE: &'static str;
    /// The topic, e.g. `careeros.auth.user-registered.v1`.
    const TOPIC: &'static str;
    /// The service that publishes it, e.g. `auth-service`.
    const SOURCE: &'static str;

    /// The id of the aggregate whose events keep their order; `None` where that is the envelope's user.
    fn key(&self) -> Option<String> {
        None
    }
}

/// What a record's value holds; version 1 has exactly these fields. One that is read has its payload as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope<P = serde_json::Value> {
    /// Unique per event; consumers apply each id once.
    pub event_id: Uuid,
    /// Which payload it is.
    pub event_type: String,
    /// The payload's version, from 1.
    pub event_version: u32,
    /// When it happened in the domain.
    #[serde(serialize_with = "rfc3339")]
    pub occurred_at: DateTime<Utc>,
    /// The emitting service.
    pub source: String,
    /// The request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The request's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The tenant that it belongs to.
    pub tenant_id: String,
    /// The user that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// As the event's type says.
    pub payload: P,
}

fn rfc3339<S: serde::Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

impl Envelope {
    /// Reads a record's value.
    ///
    /// # Errors
    /// 400 where it is no valid envelope.
    pub fn parse(value: &[u8]) -> Result<Self> {
        let envelope: Self = serde_json::from_slice(value)
            .map_err(|error| Error::invalid("envelope", format!("is not valid: {error}")))?;
        if envelope.event_version == 0 {
            return Err(Error::invalid("event_version", "must be 1 or more"));
        }
        if !envelope.payload.is_object() {
            return Err(Error::invalid("payload", "must be an object"));
        }
        Ok(envelope)
    }

    /// Whether the payload is an `E`.
    pub fn is<E: Event>(&self) -> bool {
        self.event_type == E::TYPE && self.event_version == 1
    }

    /// The payload as an `E`.
    ///
    /// # Errors
    /// 400 where it is another type's or not valid.
    pub fn payload<E: Event>(&self) -> Result<E> {
        if !self.is::<E>() {
            let (found, version) = (&self.event_type, self.event_version);
            return Err(Error::invalid(
                "event_type",
                format!("is {found} version {version}, not {} version 1", E::TYPE),
            ));
        }
        E::deserialize(&self.payload)
            .map_err(|error| Error::invalid("payload", format!("is no valid {}: {error}", E::TYPE)))
    }

    /// The tenant's id.
    ///
    /// # Errors
    /// 400 where it is not a UUID.
    pub fn tenant(&self) -> Result<Uuid> {
        crate::id::parse("tenant_id", &self.tenant_id)
    }

    /// The user's id, where the event is about one.
    ///
    /// # Errors
    /// 400 where it is not a UUID.
    pub fn user(&self) -> Result<Option<Uuid>> {
        self.user_id.as_deref().map(|id| crate::id::parse("user_id", id)).transpose()
    }
}

/// Every topic of the contract.
pub const TOPICS: [&str; 27] = [
    UserRegistered::TOPIC,
    UserLoggedIn::TOPIC,
    RoleChanged::TOPIC,
    ProfileUpdated::TOPIC,
    SkillsUpdated::TOPIC,
    DocumentUploaded::TOPIC,
    AiFlowExecuted::TOPIC,
    SkillGapAnalyzed::TOPIC,
    RoadmapDraftGenerated::TOPIC,
    ModelCallCompleted::TOPIC,
    RoadmapCreated::TOPIC,
    RoadmapUpdated::TOPIC,
    MilestoneCompleted::TOPIC,
    EnrollmentCreated::TOPIC,
    LessonCompleted::TOPIC,
    QuizSubmitted::TOPIC,
    CourseCompleted::TOPIC,
    CertificateIssued::TOPIC,
    CoursePublished::TOPIC,
    MasteryScoreUpdated::TOPIC,
    StreakUpdated::TOPIC,
    ProductivityScoreComputed::TOPIC,
    SubscriptionActivated::TOPIC,
    SubscriptionRenewed::TOPIC,
    SubscriptionCanceled::TOPIC,
    InvoicePaid::TOPIC,
    PlanChanged::TOPIC,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_with_a_field_more_or_less_is_refused() {
        let valid = serde_json::json!({
            "event_id": Uuid::nil(), "event_type": "UserRegistered", "event_version": 1,
            "occurred_at": "2026-01-02T03:04:05Z", "source": "auth-service", "tenant_id": Uuid::nil(), "payload": {}
        });
        assert!(Envelope::parse(valid.to_string().as_bytes()).is_ok());
        for field in ["event_id", "event_type", "event_version", "occurred_at", "source", "tenant_id", "payload"] {
            let mut without = valid.clone();
            without.as_object_mut().unwrap().remove(field);
            assert!(Envelope::parse(without.to_string().as_bytes()).is_err(), "{field}");
        }
        let mut more = valid;
        more["extra"] = 1.into();
        assert!(Envelope::parse(more.to_string().as_bytes()).is_err());
    }

    #[test]
    fn a_closed_payload_takes_no_other_field() {
        let mut payload = serde_json::to_value(RoadmapCreated {
            roadmap_id: Uuid::nil(),
            user_id: Uuid::nil(),
            goal_key: "g".into(),
            version: 1,
        })
        .unwrap();
        assert!(RoadmapCreated::deserialize(&payload).is_ok());
        payload["extra"] = 1.into();
        assert!(RoadmapCreated::deserialize(&payload).is_err());
    }

    #[test]
    fn every_topic_is_named_as_the_contract_says() {
        for topic in TOPICS {
            let parts: Vec<_> = topic.split('.').collect();
            assert_eq!((parts.len(), parts[0], parts[3]), (4, "careeros", "v1"), "{topic}");
        }
    }
}
