//! No event is lost and none is applied twice, whatever is killed.
//!
//! What happens is drawn from a seed, which is printed; `CAREEROS_FIRE_SEED` draws the same again. What the machine makes
//! of it depends on its timing too, so a failure may need more than one run with its seed. `CAREEROS_FIRE_SECONDS` says how
//! long processes are killed.

mod applied_once;
mod compare;
mod gateway;
mod history;
mod killer;
mod nothing_lost;
mod projections;
mod sources;
mod tables;
mod topics;
mod writers;

use std::time::{Duration, Instant};

use careeros_shared::env::Env;

use crate::{contract::GROUPS, events::Bus, processes::Processes};

/// How long services may take to carry everything where it belongs, once they are all back.
const SETTLED: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);

/// What a run is drawn from; says so again where the test fails.
struct Fire {
    seed: u64,
    time: Duration,
}

impl Fire {
    /// As the environment says, for `seconds` where it says nothing.
    fn start(seconds: u64) -> Self {
        let env = Env::from_process();
        let number = |name: &str| env.get(name).map(|text| text.parse().expect(name));
        let seed = number("CAREEROS_FIRE_SEED").unwrap_or_else(rand::random);
        let time = Duration::from_secs(number("CAREEROS_FIRE_SECONDS").unwrap_or(seconds));
        eprintln!("CAREEROS_FIRE_SEED={seed} CAREEROS_FIRE_SECONDS={}", time.as_secs());
        Self { seed, time }
    }
}

impl Drop for Fire {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, seconds) = (self.seed, self.time.as_secs());
            eprintln!("failed with CAREEROS_FIRE_SEED={seed} CAREEROS_FIRE_SECONDS={seconds}");
        }
    }
}

/// Waits until every event that was committed is on its topic and has been applied by all groups, and so have those that
/// came of it.
async fn settled(processes: &Processes) {
    let deadline = Instant::now() + SETTLED;
    loop {
        // A consumer's own events are in its outbox before its offsets are committed, and consumers of those publish none:
        // groups at the end, then no outbox with a row, then groups at the end again, and nothing moves any more.
        let busy = match lagging(processes).await {
            None => match tables::waiting(processes).await {
                None => lagging(processes).await,
                outbox => outbox,
            },
            group => group,
        };
        let Some(reason) = busy else { return };
        assert!(Instant::now() < deadline, "after {} s: {reason}", SETTLED.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// A group that has not committed everything there is, and where it is.
async fn lagging(processes: &Processes) -> Option<String> {
    let bus = Bus::new(processes.brokers());
    let asked =
        tokio::task::spawn_blocking(move || GROUPS.iter().find_map(|(group, topics)| bus.behind(group, topics)));
    asked.await.unwrap()
}
