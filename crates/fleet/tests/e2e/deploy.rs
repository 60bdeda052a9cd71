//! Deploys lose nothing: instances are replaced under load without a failed request, and where there is no other instance,
//! what was said to be done is done, and what was not can be asked for again.

mod balancer;
mod load;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use careeros_fleet::services;
use careeros_shared::testing;
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;

use self::{
    balancer::Balancer,
    load::{Door, Load, Seen},
};
use crate::{
    contract::GROUPS,
    events::Bus,
    processes::{ANALYTICS, BILLING, BINARIES, DRAIN, EDU_TRACKER, GATEWAY, Processes, ROADMAP, Replica, SECRET},
    support,
};

/// How late balancers learn that an instance is about to end.
const NOTICE: Duration = Duration::from_secs(1);
/// How long instances still take requests then.
const GRACE: &str = "2s";
/// Between two instances that are replaced.
const PAUSE: Duration = Duration::from_millis(500);

/// The nine services, each behind a balancer.
struct Site {
    processes: Processes,
    balancers: Vec<Balancer>,
}

fn local(port: &str) -> SocketAddr {
    format!("127.0.0.1:{port}").parse().unwrap()
}

/// Where a process takes what the balancer hands it: HTTP at the gateway, RPCs elsewhere.
fn entrance(service: usize, variables: &BTreeMap<&'static str, String>) -> SocketAddr {
    local(&variables[if service == GATEWAY { "HTTP_PORT" } else { "GRPC_PORT" }])
}

impl Site {
    async fn open() -> Self {
        let mut balancers = Vec::new();
        let mut variables = vec![
            ("THROTTLE_LIMIT", "1000000".to_owned()),
            ("SHUTDOWN_GRACE", GRACE.to_owned()),
            ("DATABASE_MAX_CONNECTIONS", "5".to_owned()),
        ];
        for entry in &services::ALL {
            let balancer = Balancer::start().await;
            variables.extend(entry.rpc.map(|rpc| (rpc.url_variable, balancer.address.to_string())));
            balancers.push(balancer);
        }
        let site = Self { processes: Processes::spawn_with(&variables).await, balancers };
        for (service, balancer) in site.balancers.iter().enumerate() {
            balancer.add(entrance(service, site.processes.variables(service)));
        }
        site.processes.all_ready().await;
        // Whoever was up first has asked for the others before they listened, which is no fault of theirs.
        site.take_refused();
        site
    }

    /// How many connections the instances of each service did not take, since this was asked last.
    fn take_refused(&self) -> Vec<usize> {
        self.balancers.iter().map(Balancer::take_refused).collect()
    }

    fn door(&self) -> Door {
        Door::new(&format!("http://{}", self.balancers[GATEWAY].address))
    }

    /// Ends the first process of `service`; its balancer learns of it a little later. How long that took.
    async fn retire(&mut self, service: usize) -> Duration {
        let started = Instant::now();
        let old = entrance(service, self.processes.variables(service));
        let balancer = &self.balancers[service];
        let removed = async {
            tokio::time::sleep(NOTICE).await;
            balancer.remove(old);
        };
        let (status, ()) = tokio::join!(self.processes.terminate_one(service), removed);
        assert_eq!(status.code(), Some(0), "{} after SIGTERM", BINARIES[service]);
        started.elapsed()
    }

    /// Replaces all processes at once by ones with this value of a variable; both serve side by side meanwhile.
    async fn roll_out(&mut self, variable: &'static str, value: &str) {
        let before: Vec<_> = (0..BINARIES.len()).map(|service| self.processes.variables(service).clone()).collect();
        self.processes.set(variable, value);
        let replicas: Vec<_> = (0..BINARIES.len()).map(|service| self.processes.replica(service)).collect();
        for (service, (balancer, replica)) in self.balancers.iter().zip(&replicas).enumerate() {
            replica.ready().await;
            balancer.add(entrance(service, &replica.variables));
        }
        tokio::time::sleep(PAUSE).await;
        let balancers = &self.balancers;
        let removed = async {
            tokio::time::sleep(NOTICE).await;
            for (service, (balancer, variables)) in balancers.iter().zip(&before).enumerate() {
                balancer.remove(entrance(service, variables));
            }
        };
        let (ends, ()) = tokio::join!(self.processes.terminate(), removed);
        for (name, status) in ends {
            assert_eq!(status.code(), Some(0), "{name} after SIGTERM");
        }
        for (service, replica) in replicas.into_iter().enumerate() {
            self.processes.adopt(service, replica);
        }
    }

    /// Waits until every event is on its topic.
    async fn published(&self) {
        for database in services::ALL.iter().filter_map(|entry| entry.database) {
            let url = self.processes.superuser_url(database.name);
            let mut connection = sqlx::PgConnection::connect(url.expose_secret()).await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                let waiting: i64 =
                    sqlx::query_scalar("select count(*) from outbox").fetch_one(&mut connection).await.unwrap();
                if waiting == 0 {
                    break;
                }
                assert!(Instant::now() < deadline, "{waiting} events wait in the outbox of {}", database.name);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// The drafts that are stored, by their titles, which are their idempotency keys.
    async fn stored_drafts(&self) -> Vec<(String, String)> {
        let url = self.processes.superuser_url("roadmap");
        let mut connection = sqlx::PgConnection::connect(url.expose_secret()).await.unwrap();
        let drafts = sqlx::query_as("select title, id::text from roadmap_drafts");
        drafts.fetch_all(&mut connection).await.unwrap()
    }
}

/// How many events the consumers of `replica` have been given twice.
async fn duplicates(replica: &Replica) -> f64 {
    metric(replica, "consumer_events_duplicate_total").await.unwrap_or_default()
}

/// The sum of a metric over all its labels, if it has any.
async fn metric(replica: &Replica, name: &str) -> Option<f64> {
    let metrics = replica.metrics().await.expect("the replica runs");
    let samples = metrics.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(|sum, value| sum + value)
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_replaced_under_load_without_a_failed_request() {
    let _machine = support::alone().await;
    let mut site = Site::open().await;
    let load = Load::begin(&site.processes.client(), &site.door()).await;
    let replicas: Vec<_> = (0..BINARIES.len()).map(|service| site.processes.replica(service)).collect();
    for (service, (balancer, replica)) in site.balancers.iter().zip(&replicas).enumerate() {
        replica.ready().await;
        balancer.add(entrance(service, &replica.variables));
    }
    let bus = Bus::new(site.processes.brokers());
    for service in [ROADMAP, EDU_TRACKER, BILLING, ANALYTICS] {
        let has_partitions = async || metric(&replicas[service], "consumer_lag_events").await.is_some();
        testing::eventually("every consumer group has two members", has_partitions).await;
    }
    let mut before = Vec::new();
    for replica in &replicas {
        before.push(duplicates(replica).await);
    }
    for (service, name) in BINARIES.iter().enumerate() {
        let took = site.retire(service).await;
        assert!(took < DRAIN, "{name} took {took:?}");
        eprintln!("  {name} ended in {took:.1?}");
        tokio::time::sleep(PAUSE).await;
    }
    let seen = load.end().await;
    assert!(seen.failures.is_empty(), "{} of {}:\n{}", seen.failures.len(), seen.answered, listed(&seen));
    assert!(seen.answered > 500, "{} answers are no load", seen.answered);
    assert_eq!(site.take_refused(), [0; 9], "an instance did not listen although its balancer could not know");

    site.published().await;
    for (group, topics) in GROUPS {
        bus.caught_up(group, topics).await;
    }
    for ((replica, before), name) in replicas.iter().zip(before).zip(BINARIES) {
        let again = duplicates(replica).await - before;
        assert!(again.abs() < f64::EPSILON, "{name} was given {again} events that the process before had applied");
    }
    everything_is_done_once(&site, &seen).await;
    for (service, name) in BINARIES.iter().enumerate() {
        let said = site.processes.said(service);
        assert!(!said.contains("when the drain ended") && !said.contains("\"level\":\"ERROR\""), "{name} said {said}");
    }
    for replica in replicas {
        replica.kill().await;
    }
    site.processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_that_services_share_is_changed_under_load_without_a_failed_request() {
    const NEW: &str = "the-new-secret-of-nine-processes";
    let _machine = support::alone().await;
    let mut site = Site::open().await;
    let load = Load::begin(&site.processes.client(), &site.door()).await;
    for step in [format!("{SECRET},{NEW}"), format!("{NEW},{SECRET}"), NEW.to_owned()] {
        site.roll_out("SERVICE_SHARED_SECRET", &step).await;
        tokio::time::sleep(PAUSE).await;
    }
    let seen = load.end().await;
    assert!(seen.failures.is_empty(), "{} of {}:\n{}", seen.failures.len(), seen.answered, listed(&seen));
    assert!(seen.answered > 500, "{} answers are no load", seen.answered);
    site.published().await;
    everything_is_done_once(&site, &seen).await;
    let url = site.processes.superuser_url("auth");
    let mut connection = sqlx::PgConnection::connect(url.expose_secret()).await.unwrap();
    let keys: i64 = sqlx::query_scalar("select count(*) from signing_keys").fetch_one(&mut connection).await.unwrap();
    assert_eq!(keys, 1, "the signing key was opened with the old secret and sealed with the new one");
    drop(connection);
    site.processes.stop().await;
}

/// Each draft that was said to be made is there, once and under the id that was told.
async fn everything_is_done_once(site: &Site, seen: &Seen) {
    let mut stored = BTreeMap::<_, Vec<_>>::new();
    for (key, id) in site.stored_drafts().await {
        stored.entry(key).or_default().push(id);
    }
    for draft in &seen.drafts {
        let found = stored.get(&draft.key).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(found, draft.id.as_slice(), "{draft:?}");
    }
}

fn listed(seen: &Seen) -> String {
    let shown: Vec<_> = seen.failures.iter().take(30).map(|failure| format!("  {failure:.600}")).collect();
    shown.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_alone_finishes_what_it_took_and_a_retry_gets_the_one_answer() {
    let _machine = support::alone().await;
    let mut site = Site::open().await;
    for service in [ROADMAP, GATEWAY] {
        // Without a balancer, so that nobody else takes connections for a gateway that is away.
        let door = Door::new(&site.processes.url(GATEWAY));
        let load = Load::begin(&site.processes.client(), &door).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        site.retire(service).await;
        tokio::time::sleep(PAUSE).await;
        site.processes.run(service);
        site.balancers[service].add(entrance(service, site.processes.variables(service)));
        site.processes.all_ready().await;
        let mut seen = load.end().await;
        let name = BINARIES[service];
        assert!(!seen.failures.is_empty(), "nobody has noticed that {name} was away");
        for failure in &seen.failures {
            // Nothing was sent to a gateway that is away.
            let is_clear = if service == GATEWAY { failure.unconnected } else { failure.status == Some(503) };
            assert!(is_clear, "{name}: {failure}");
        }
        for draft in &mut seen.drafts {
            let id = door.make(draft).await.unwrap_or_else(|failure| panic!("a retry: {failure}"));
            assert_eq!(draft.id.get_or_insert_with(|| id.clone()), &id, "a retry made another draft");
        }
        everything_is_done_once(&site, &seen).await;
    }
    site.published().await;
    site.processes.stop().await;
}
