//! Nothing lost: people write through the gateway while services, broker and PostgreSQL are killed.

use std::{sync::Arc, time::Instant};

use rand::{SeedableRng, rngs::StdRng};

use super::{
    Fire,
    gateway::Gateway,
    killer, projections, settled, sources,
    topics::Topics,
    writers::{self, Ledger},
};
use crate::{processes::Processes, support};

const WRITERS: u64 = 6;
/// Of the short form.
const SECONDS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_and_every_change_has_its_event() {
    let _machine = support::alone().await;
    let fire = Fire::start(SECONDS);
    // All writers are one client to the gateway.
    let mut processes = Processes::start_with(&[("THROTTLE_LIMIT", "1000000".to_owned())]).await;
    let provider = Arc::new(processes.client());
    let teacher = provider.register("teacher").await.unwrap();
    let calm = Gateway::new(processes.url(0), Instant::now());
    let course = writers::publish(&calm, &teacher.id, &teacher.token, writers::LESSONS).await;
    let course = Arc::new(course.expect("nobody is killed yet"));

    let ends = Instant::now() + fire.time;
    let gateway = Gateway::new(processes.url(0), ends);
    let write =
        |n| writers::write(gateway.clone(), Arc::clone(&provider), Arc::clone(&course), fire.seed.wrapping_add(n));
    let tasks: Vec<_> = (1..=WRITERS).map(|n| tokio::spawn(write(n))).collect();
    let kills = killer::kill(&mut processes, &mut StdRng::seed_from_u64(fire.seed), ends).await;
    let mut ledger = Ledger::default();
    for task in tasks {
        ledger.merge(task.await.expect("a writer was answered as it has to be"));
    }
    let kinds: Vec<_> = ledger.things.iter().map(|(kind, things)| format!("{} {kind}", things.len())).collect();
    eprintln!("{kills:?}; acknowledged: {}; {} unknown", kinds.join(", "), ledger.unknown);

    processes.all_ready().await;
    settled(&processes).await;
    let topics = Topics::read(&processes).await;
    eprintln!("{} events, {} records of events that were there before", topics.len(), topics.repeated);
    sources::check_acknowledged(&processes, &topics, &ledger).await;
    sources::check_order(&topics);
    sources::check(&processes, &topics).await;
    projections::check(&processes, &topics).await;
    assert!(kills.services > 0 && kills.broker > 0 && kills.postgres > 0, "something was never killed: {kills:?}");
    assert!(ledger.len() >= 20, "only {} requests were acknowledged", ledger.len());
    processes.stop().await;
}
