//! One service away: its routes say so at once, and the others go on.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use crate::{processes::Processes, support};

/// The profile service in the order of the ports.
const PROFILE: usize = 2;
/// The gateway's deadline for a call, and a second for everything around it.
const DEADLINE: Duration = Duration::from_secs(6);
const RECOVERY: Duration = Duration::from_secs(10);

async fn get(url: String, token: &str) -> Response {
    #[expect(clippy::disallowed_methods, reason = "each request has its deadline")]
    let request = reqwest::Client::new().get(url).bearer_auth(token).timeout(DEADLINE);
    request.send().await.expect("an answer within the deadline")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_service_fails_its_own_routes_only_and_comes_back() {
    let _machine = support::alone().await;
    let mut processes = Processes::start().await;
    let (gateway, client) = (processes.url(0), processes.client());
    let person = client.register("learner").await.unwrap();
    let profile = format!("{gateway}/v1/profiles/{}", person.id);
    assert_eq!(get(profile.clone(), &person.token).await.status(), 200);

    processes.kill(PROFILE).await;
    let answer = get(profile.clone(), &person.token).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(answer.headers().contains_key("retry-after"));
    let problem: Value = answer.json().await.unwrap();
    assert!(problem["correlation_id"].is_string(), "{problem}");

    let ready = get(format!("{gateway}/health/ready"), "").await;
    assert_eq!(ready.status(), 503);
    let report: Value = ready.json().await.unwrap();
    let failing: Vec<_> = report["dependencies"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, state)| *state != "ok")
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(failing, ["user-profile-service"]);
    assert_eq!(get(format!("{gateway}/health/live"), "").await.status(), 200);
    client.get(&person.token, "/auth/me").await.unwrap();
    let (status, _) = client.call(Method::GET, "", "/lms/courses", None).await.unwrap();
    assert_eq!(status, 200);

    processes.run(PROFILE);
    let back = async {
        while get(profile.clone(), &person.token).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(RECOVERY, back).await.expect("the route works again within 10 s");
    processes.stop().await;
}
