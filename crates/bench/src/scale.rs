//! `careeros-bench scale`: how the cost of everything grows with what is in the tables.
//!
//! For each size a fleet of its own is filled with made-up rows, then every path is asked, the upkeep is run, and a fixed
//! number of events is applied and published. What grows shows in one table, and so do the statements behind it.

mod consumers;
mod fill;
mod growth;
mod paths;
mod population;
mod statements;
mod tables;
mod upkeep;

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use careeros_fleet::ui;
use serde::{Deserialize, Serialize};

use self::{population::Population, statements::Statement, tables::Table};
use crate::{
    common::Common,
    events::relay,
    fleet::{Fleet, Options, Service},
    report::{Report, Setting},
};

/// What is measured, and with how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Users in the tables; everything else is made in proportion, ten events a user.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 10_000, 1_000_000], value_parser = clap::value_parser!(i64).range(100..=10_000_000))]
    sizes: Vec<i64>,
    /// Requests of every path.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..))]
    requests: u32,
    /// Events that the consumers apply.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(5_000..))]
    events: u64,
    /// Rows that the relay publishes.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(i64).range(5_000..))]
    rows: i64,
    /// What users and events are drawn from: the same seed, the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was found at one size.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    users: i64,
    report: Report,
    statements: Vec<Statement>,
    tables: Vec<Table>,
}

/// Measures every size, and returns whether everything was right meanwhile.
///
/// What is written as JSON keeps the sizes that the file has already and that are not measured again.
pub(crate) async fn run(arguments: &Arguments, common: &Common) -> Result<bool> {
    let mut runs = earlier(arguments, common)?;
    for users in &arguments.sizes {
        runs.push(measure(arguments, common, *users).await.with_context(|| format!("{users} users"))?);
        runs.sort_by_key(|run| run.users);
        if let Some(path) = &common.json {
            let text = serde_json::to_string_pretty(&runs)? + "\n";
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    ui::print(growth::shown(&runs));
    Ok(runs.iter().all(|run| run.report.is_right()))
}

/// The sizes that an earlier run has measured and this one does not.
fn earlier(arguments: &Arguments, common: &Common) -> Result<Vec<Run>> {
    let Some(path) = common.json.as_deref().filter(|path| path.exists()) else { return Ok(Vec::new()) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut runs: Vec<Run> =
        serde_json::from_str(&text).with_context(|| format!("{} is no report of this program", path.display()))?;
    runs.retain(|run| !arguments.sizes.contains(&run.users));
    Ok(runs)
}

async fn measure(arguments: &Arguments, common: &Common, users: i64) -> Result<Run> {
    let options = Options { statements: true, ..common.options()? };
    let population = Population::new(users, arguments.seed);
    let mut report = Report::new(Setting::own());
    report.size("scale: seed", arguments.seed);
    report.size("scale: events", arguments.events);
    ui::say(format_args!("\n{users} users: starting PostgreSQL and the broker"));
    let mut fleet = Fleet::start(&options).await?;
    let started = Instant::now();
    fill::fill(&fleet, &population).await?;
    report.figure("filling the tables", started.elapsed().as_secs_f64(), "s");
    let tables = tables::read(&fleet).await?;
    fleet.run(&Service::ALL).await?;
    statements::reset(&fleet).await?;
    ui::say("Asking every path");
    paths::measure(&fleet, &population, arguments.requests, &mut report).await?;
    ui::say("Running the upkeep");
    upkeep::measure(&fleet, &mut report).await?;
    ui::say(format_args!("Applying {} events", arguments.events));
    consumers::measure(&mut fleet, &population, arguments.events, &mut report).await?;
    ui::say(format_args!("Publishing {} rows", arguments.rows));
    relay::measure(&mut fleet, arguments.rows, false, &mut report).await?;
    ui::say("Beginning a day");
    upkeep::begin_day(&mut fleet, &mut report).await?;
    let statements = statements::read(&fleet).await?;
    fleet.end().await?;
    Ok(Run { users, report, statements, tables })
}
