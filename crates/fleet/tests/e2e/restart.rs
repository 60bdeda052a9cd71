//! A fleet that is stopped and started again goes on where it was.

use careeros_fleet::journey::{Client, Person};
use serde_json::Value;

use crate::{contract::GROUPS, events::Bus, support};

async fn minutes(client: &Client, person: &Person) -> Value {
    let path = format!("/edu-tracker/progress/{}", person.id);
    client.get(&person.token, &path).await.unwrap()["minutes_this_week"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_outlives_a_restart_and_no_event_is_applied_twice() {
    let _machine = support::alone().await;
    let directory = support::directory();
    let fleet = support::start(&directory, &[]).await;
    let traces = support::client(&fleet).walk().await.unwrap();
    fleet.stop().await.unwrap();

    let fleet = support::start(&directory, &[]).await;
    let client = support::client(&fleet);
    let bus = Bus::new(&fleet.stores.brokers);
    let old_token = &traces.learner.token;
    client.get(old_token, "/auth/me").await.expect("a token from before the restart is still good");
    let learner = client.log_in(&traces.learner.email).await.unwrap();
    let active = client.get(&learner.token, &format!("/roadmaps/active/{}", learner.id)).await;
    let active = active.unwrap();
    assert_eq!(
        (active["roadmap_id"].as_str(), active["status"].as_str()),
        (Some(traces.roadmap_id.as_str()), Some("ACTIVE"))
    );
    for (group, topics) in GROUPS {
        bus.caught_up(group, topics).await;
    }
    assert_eq!(minutes(&client, &learner).await, 25);

    // The instructor teaches more, and the new lesson is added to the old one.
    let instructor = client.log_in(&traces.instructor.email).await.unwrap();
    let (course, lesson) = client.teach(&instructor).await.unwrap();
    client.learn(&learner, &course, &lesson).await.unwrap();
    let progress = format!("/edu-tracker/progress/{}", learner.id);
    let counted = client.eventually(&learner, &progress, |progress| progress["minutes_this_week"] == 50);
    counted.await.unwrap();
    let kpi = client.get(&learner.token, &format!("/analytics/kpi/{}", learner.tenant_id)).await;
    assert_eq!(kpi.unwrap()["dau"], 1);
    for (group, topics) in GROUPS {
        bus.caught_up(group, topics).await;
    }
    assert_eq!(minutes(&client, &learner).await, 50);
    fleet.stop().await.unwrap();
}
