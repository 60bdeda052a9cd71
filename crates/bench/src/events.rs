//! `careeros-bench events`: consumers from full topics, the relay from a full outbox, the delay from a commit to where it
//! shows, and what a fleet costs that has nothing to do.

mod delay;
mod group;
mod idle;
mod ingest;
pub(crate) mod relay;

use std::time::Duration;

use anyhow::{Result, ensure};
use careeros_fleet::ui;
use careeros_shared::{clock::Clock, events::TOPICS};

use self::group::Group;
use crate::{
    common::Common,
    drain::drained,
    fleet::{Fleet, Options, Service},
    generate::{Expected, Generator, Size},
    report::Report,
};

const COURSES: usize = 200;
/// The services that consume nothing; the gateway is ready only with all others.
const WITHOUT_CONSUMERS: [Service; 4] = [Service::Auth, Service::Profile, Service::AiCore, Service::Lms];

/// What is measured, and with how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Events on the topics that consumers start from.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(5_000..=20_000_000))]
    events: u64,
    /// Users that the events are about.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Tenants that the users belong to.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    tenants: u32,
    /// Rows in the outbox that the relay starts from.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(5_000..))]
    rows: i64,
    /// Changes a second while the delay is measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// For how long the delay is measured, and then the idle fleet.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// What the events are made from: the same seed, the same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show which statements took PostgreSQL's time; costs a little, and needs its contrib modules.
    #[arg(long)]
    statements: bool,
}

/// Measures, and says in `report` whether everything was right meanwhile.
pub(crate) async fn run(arguments: &Arguments, common: &Common, report: &mut Report) -> Result<()> {
    report.size("events: seed", arguments.seed);
    report.size("events: events", arguments.events);
    ui::say("Starting PostgreSQL and the broker");
    let mut fleet = Fleet::start(&Options { statements: arguments.statements, ..common.options()? }).await?;
    measure(&mut fleet, arguments, report).await?;
    fleet.end().await
}

async fn measure(fleet: &mut Fleet, arguments: &Arguments, report: &mut Report) -> Result<()> {
    fleet.run(&WITHOUT_CONSUMERS).await?;
    let expected = fill(fleet, arguments).await?;
    for group in Group::ALL {
        ui::say(format_args!("Measuring {}", group.service.name()));
        ingest::measure(fleet, &group, &expected, arguments.statements, report).await?;
        if group.service == Service::Analytics {
            // What the others publish must not compete with them.
            fleet.stop(Service::Analytics).await?;
        }
    }
    ui::say("Measuring the relay");
    relay::measure(fleet, arguments.rows, arguments.statements, report).await?;
    fleet.run(&[Service::Analytics, Service::Gateway]).await?;
    ui::say("Waiting until everything is applied");
    drained(fleet).await?;
    ui::say(format_args!("Measuring the delay: {} changes/s for {} s", arguments.rate, arguments.seconds));
    delay::measure(fleet, arguments.rate, arguments.seconds, report).await?;
    let (published, applied) = drained(fleet).await?;
    report.check("analytics: events applied in the end", &published, &applied);
    fleet.topics()?.check_dead_letters(report).await?;
    ui::say(format_args!("Measuring the idle fleet for {} s", arguments.seconds));
    idle::measure(fleet, Duration::from_secs(arguments.seconds.into()), report).await
}

/// Fills the topics while nobody consumes.
async fn fill(fleet: &Fleet, arguments: &Arguments) -> Result<Expected> {
    ui::say(format_args!("Filling the topics with {} events", arguments.events));
    fleet.kafka()?.ensure_topics(&TOPICS.map(str::to_owned)).await?;
    let (users, tenants) = (arguments.users.try_into()?, arguments.tenants.try_into()?);
    let size = Size { events: arguments.events, users, tenants, courses: COURSES };
    let topics = fleet.topics()?;
    let generator = topics.fill(Generator::new(arguments.seed, size, Clock::system().now())).await?;
    let (made, on_topics) = (generator.expected().on(&TOPICS), topics.ends(TOPICS).await?.count());
    ensure!(on_topics == made, "the topics have {on_topics} records instead of {made}");
    Ok(generator.expected().clone())
}
