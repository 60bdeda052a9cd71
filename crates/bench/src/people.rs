//! Whoever sends the requests: users with a profile and with a plan that no run uses up.

use anyhow::{Context as _, Result, ensure};
use careeros_fleet::journey::{Client, PASSWORD};
use careeros_shared::clock::Clock;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fleet::Fleet;

/// Hashing passwords is what this waits for, and there are few cores.
const AT_ONCE: usize = 4;
/// The plan with the largest quota.
const PLAN: &str = "ENTERPRISE";
/// The AI flow that they run.
pub(crate) const FLOW: &str = "productivity_advisor";

/// A user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its tenant.
    pub(crate) tenant_id: Uuid,
    /// The access token.
    pub(crate) token: String,
    /// The name in the profile, which nobody else has.
    pub(crate) name: String,
}

/// Registers so many users, each in a tenant of its own.
pub(crate) async fn make(fleet: &Fleet, count: usize) -> Result<Vec<User>> {
    let client = fleet.client()?;
    stream::iter(0..count).map(|number| one(&client, number)).buffered(AT_ONCE).try_collect().await
}

async fn one(client: &Client, number: usize) -> Result<User> {
    let email = format!("person-{number}-{}@example.com", careeros_shared::id::new(Clock::system().now()).simple());
    let answer = client.post("", "/auth/register", &json!({"email": email, "password": PASSWORD}), 201).await?;
    let name = format!("Person {number:04}");
    let user = User { id: id(&answer, "userId")?, tenant_id: id(&answer, "tenantId")?, token: token(&answer)?, name };
    let activated = json!({
        "eventType": "subscription.activated", "eventId": format!("evt_{}", user.id.simple()),
        "payload": {"user_id": user.id, "tenant_id": user.tenant_id, "plan_code": PLAN}
    });
    client.webhook(&activated, 200).await?;
    let path = format!("/profiles/{}", user.id);
    let (status, answer) = client.call(Method::PUT, &user.token, &path, Some(&user.profile())).await?;
    ensure!(status == StatusCode::OK, "PUT {path}: {status} {answer}");
    Ok(user)
}

impl User {
    fn profile(&self) -> Value {
        json!({
            "fullName": self.name, "title": "Backend Engineer", "location": "Berlin", "timezone": "Europe/Berlin",
            "bio": "Ten years of services, most of them in languages that collect garbage."
        })
    }

    /// A request to run [`FLOW`].
    pub(crate) fn flow(&self) -> Value {
        let input = json!({"minutesThisWeek": 180, "streakDays": 4, "goals": ["Ship a service"]});
        json!({"userId": self.id, "tenantId": self.tenant_id, "flowName": FLOW, "input": input})
    }

    /// The profile as it has to be answered.
    pub(crate) fn stored_profile(&self) -> Value {
        let sent = self.profile();
        json!({
            "user_id": self.id, "full_name": sent["fullName"], "title": sent["title"], "location": sent["location"],
            "bio": sent["bio"], "timezone": sent["timezone"]
        })
    }
}

fn id(answer: &Value, field: &str) -> Result<Uuid> {
    let text = answer[field].as_str().with_context(|| format!("the answer has no {field}: {answer}"))?;
    Ok(text.parse()?)
}

fn token(answer: &Value) -> Result<String> {
    let token = answer.pointer("/tokens/accessToken").and_then(Value::as_str);
    Ok(token.context("the answer has no access token")?.to_owned())
}
