//! `careeros-bench paths`: the main requests through the gateway, at as many a second as are answered, beside what this
//! machine can do at the most: a bare axum handler, and PostgreSQL with the same statements.

mod checker;
mod courses;
mod load;
mod measure;
mod numbered;
mod path;
mod pgbench;
mod recording;
mod script;
mod summary;
mod yardstick;

use anyhow::Result;
use careeros_fleet::ui;

use self::{path::Path, yardstick::Yardstick};
use crate::{
    common::Common,
    drain::drained,
    fleet::{Fleet, Options, Service},
    memory::{self, Memory},
    people,
    report::Report,
};

/// Users that the checker asks as; the load leaves them alone.
const CHECKERS: usize = 8;

/// What is measured, and with how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// For how long each path is under load.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// For how long before that it is under load that is not measured.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    warm_up: u32,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=512))]
    connections: u32,
    /// Users that send the requests in turn.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    users: u16,
    /// Only these paths.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Path>,
    /// Measure no yardsticks.
    #[arg(long)]
    no_yardsticks: bool,
}

/// Measures, and says in `report` whether everything was right meanwhile.
pub(crate) async fn run(arguments: &Arguments, common: &Common, report: &mut Report) -> Result<()> {
    report.size("paths: seconds", arguments.seconds.into());
    report.size("paths: connections", arguments.connections.into());
    report.size("paths: users", arguments.users.into());
    if !arguments.no_yardsticks {
        measure::bare(arguments, report).await?;
    }
    ui::say("Starting PostgreSQL, the broker and nine services");
    // As in production; the rate limit is not what is measured, nor is it that tokens expire.
    let variables = vec![("LOG_LEVEL", "info".to_owned()), ("JWT_ACCESS_EXPIRES_IN", "12h".to_owned())];
    let mut fleet = Fleet::start(&Options { variables, ..common.options()? }).await?;
    fleet.run(&Service::ALL).await?;
    ui::say(format_args!("Registering {} users and making courses", arguments.users));
    let mut users = people::make(&fleet, usize::from(arguments.users) + CHECKERS).await?;
    courses::make(&fleet).await?;
    courses::enrol(&fleet, users.iter().map(|user| (user.id, user.tenant_id))).await?;
    let checkers = users.split_off(users.len() - CHECKERS);
    let (mut yardsticks, mut memory) = (Vec::new(), Memory::new());
    let wanted = |path: &Path| arguments.only.is_empty() || arguments.only.contains(path);
    for path in Path::ALL.into_iter().filter(wanted) {
        drained(&fleet).await?;
        ui::say(format_args!("Measuring {}", path.name()));
        let loaded = measure::path(&fleet, path, arguments, &users, &checkers, report).await?;
        memory = memory::larger(memory, loaded);
        if !arguments.no_yardsticks {
            yardsticks.extend(Yardstick::record(&fleet, path, &checkers[0]).await?);
        }
    }
    memory::figures("under load", memory, report);
    drained(&fleet).await?;
    fleet.topics()?.check_dead_letters(report).await?;
    if !arguments.no_yardsticks {
        for service in Service::ALL {
            fleet.stop(service).await?;
        }
        yardstick::measure(&fleet, &yardsticks, arguments, report).await?;
    }
    report.note(summary::table(report));
    fleet.end().await
}
