//! Kills processes without warning and starts them again after a while, in an order drawn at random.

use std::time::{Duration, Instant};

use rand::{RngExt, rngs::StdRng};

use crate::processes::{BINARIES, Processes};

/// A start that takes longer is told of.
const SLOW: Duration = Duration::from_secs(3);

/// Something that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Service(usize),
    Broker,
    Postgres,
}

impl Victim {
    fn random(random: &mut StdRng) -> Self {
        match random.random_range(0..10) {
            0 | 1 => Self::Broker,
            2 | 3 => Self::Postgres,
            _ => Self::Service(random.random_range(0..BINARIES.len())),
        }
    }

    async fn kill(self, processes: &mut Processes) {
        match self {
            Self::Service(service) => processes.kill(service).await,
            Self::Broker => processes.kill_broker().await,
            Self::Postgres => processes.kill_postgres().await,
        }
    }

    async fn restart(self, processes: &mut Processes) {
        match self {
            Self::Service(service) => processes.run(service),
            Self::Broker => processes.restart_broker().await,
            Self::Postgres => processes.restart_postgres().await,
        }
    }
}

/// How often each was killed.
#[derive(Debug, Default)]
pub(super) struct Kills {
    pub(super) services: usize,
    pub(super) broker: usize,
    pub(super) postgres: usize,
}

/// Kills until `ends`; everything is started again then.
pub(super) async fn kill(processes: &mut Processes, random: &mut StdRng, ends: Instant) -> Kills {
    let mut kills = Kills::default();
    // At least one of each, in the shortest of fires too.
    let mut first = vec![Victim::Service(random.random_range(0..BINARIES.len())), Victim::Broker, Victim::Postgres];
    while Instant::now() < ends || !first.is_empty() {
        pause(random, 100..1000).await;
        let mut victims = vec![first.pop().unwrap_or_else(|| Victim::random(random))];
        if random.random_bool(0.4) {
            victims.push(Victim::random(random));
            victims.dedup();
        }
        for victim in &victims {
            victim.kill(processes).await;
            match victim {
                Victim::Service(_) => kills.services += 1,
                Victim::Broker => kills.broker += 1,
                Victim::Postgres => kills.postgres += 1,
            }
        }
        pause(random, 10..1000).await;
        for victim in victims {
            let started = Instant::now();
            victim.restart(processes).await;
            if started.elapsed() > SLOW {
                eprintln!("{victim:?} was {:?} in starting again", started.elapsed());
            }
        }
    }
    kills
}

async fn pause(random: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(milliseconds))).await;
}
