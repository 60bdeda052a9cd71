//! `careeros-bench start`: how long a process takes from its start to its first answer, alone and with all others at once,
//! and how much memory the fleet takes that has just come up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use careeros_fleet::ui;

use crate::{
    common::Common,
    fleet::{Fleet, Service},
    memory,
    report::Report,
    times::percentiles,
};

const POLL: Duration = Duration::from_millis(1);
/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until what coming up has left behind is done.
const SETTLE: Duration = Duration::from_secs(5);

/// What is measured, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Starts, of which the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    times: u16,
}

/// Measures.
pub(crate) async fn run(arguments: &Arguments, common: &Common, report: &mut Report) -> Result<()> {
    ui::say("Starting PostgreSQL and the broker");
    let mut fleet = Fleet::start(&common.options()?).await?;
    ui::say(format_args!("Starting services, each {} times", arguments.times));
    // Connections to a service that was stopped are of no use.
    let http = reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build()?;
    for service in Service::ALL {
        let mut times = Vec::new();
        for _ in 0..arguments.times {
            let started = Instant::now();
            fleet.launch(service)?;
            first_answer(&http, &mut fleet, service, "/health").await?;
            times.push(milliseconds(started));
            fleet.stop(service).await?;
        }
        median(format!("start: {} alone, first answer", service.name()), times, report)?;
    }
    let (mut answered, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..arguments.times {
        for service in Service::ALL {
            fleet.stop(service).await?;
        }
        let started = Instant::now();
        for service in Service::ALL {
            fleet.launch(service)?;
        }
        first_answer(&http, &mut fleet, Service::Gateway, "/v1/health").await?;
        answered.push(milliseconds(started));
        fleet.ready(Service::Gateway).await?;
        ready.push(milliseconds(started));
    }
    median("start: all at once, the gateway's first answer".to_owned(), answered, report)?;
    median("start: all at once, until the gateway and all that it needs are ready".to_owned(), ready, report)?;
    tokio::time::sleep(SETTLE).await;
    memory::figures("start", memory::all(&fleet), report);
    fleet.end().await
}

/// Waits until a service that was just started answers.
async fn first_answer(http: &reqwest::Client, fleet: &mut Fleet, service: Service, path: &str) -> Result<()> {
    let (url, deadline) = (format!("{}{path}", fleet.url(service)), Instant::now() + PATIENCE);
    while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
        fleet.check_runs(service)?;
        ensure!(Instant::now() < deadline, "{} does not answer: {}", service.name(), fleet.said(service));
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn median(name: String, times: Vec<f64>, report: &mut Report) -> Result<()> {
    let [median] = percentiles(times, [0.5]).context("nothing was started")?;
    report.figure(name, median, "ms");
    Ok(())
}
