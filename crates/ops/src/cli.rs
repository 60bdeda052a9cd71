//! The command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use careeros_shared::{boot, env::Problems};
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::Broker,
    dlq::{self, Filter, Place, Which},
    lag, outbox,
    output::{print, say},
    rebuild::{Group, Options},
    settings::{Misuse, Service, Settings},
};

const EXAMPLES: &str = "Settings come from the environment, or from a file of NAME=value lines:
  KAFKA_BROKERS and the other KAFKA_* variables    as services have them
  AUTH_DATABASE_URL, LMS_DATABASE_URL, …           for outbox: the services' databases
  ANALYTICS_MIGRATION_DATABASE_URL, …              for rebuild: a database as its owner

Examples:
  careeros-ops dlq list
  careeros-ops dlq replay --all --group analytics-global-v1
  careeros-ops lag --behind --watch 5
  careeros-ops outbox status
  careeros-ops rebuild analytics-global-v1 --dry-run

Exit status: 0 done, 1 failed, 2 wrong usage or environment.";

const DLQ_EXAMPLES: &str = "Examples:
  careeros-ops dlq list --topic careeros.lms.lesson-completed.v1
  careeros-ops dlq show careeros.lms.lesson-completed.v1 0 42
  careeros-ops dlq replay careeros.lms.lesson-completed.v1 0 42
  careeros-ops dlq replay --all --group analytics-global-v1
  careeros-ops dlq discard careeros.lms.lesson-completed.v1 0 42 --yes";

const OUTBOX_EXAMPLES: &str = "Examples:
  careeros-ops outbox status
  careeros-ops outbox status lms billing
  careeros-ops outbox parked lms
  careeros-ops outbox release lms 42
  careeros-ops outbox release lms --all
  careeros-ops outbox discard lms 42 --yes";

const REBUILD_EXAMPLES: &str =
    "The service keeps serving and applying meanwhile; readers see the old rows until the new \
ones are complete. Where it fails or is stopped, nothing has changed.

Examples:
  careeros-ops rebuild analytics-global-v1 --dry-run
  careeros-ops rebuild analytics-global-v1";

/// The operators' tool for CareerOS's events: dead letters, consumer lag, outboxes, projections.
#[derive(Debug, Parser)]
#[command(name = "careeros-ops", version, after_help = EXAMPLES)]
struct Arguments {
    /// Read settings from this file; they win over the environment.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Records that a consumer group could not apply.
    #[command(subcommand, after_help = DLQ_EXAMPLES)]
    Dlq(Dlq),
    /// How far consumer groups are behind.
    Lag {
        /// This group instead of the contract's four; may be given several times.
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// Only partitions with a lag.
        #[arg(long)]
        behind: bool,
        /// Print it again every so many seconds, until Ctrl-C.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
        watch: Option<u64>,
    },
    /// Events that wait for the broker, and those that it refuses.
    #[command(subcommand, after_help = OUTBOX_EXAMPLES)]
    Outbox(Outbox),
    /// Makes what a consumer group keeps anew from the beginning of its topics.
    #[command(after_help = REBUILD_EXAMPLES)]
    Rebuild {
        /// The consumer group.
        #[arg(value_enum)]
        group: Group,
        /// Compare the numbers of rows and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Leave out events that were applied once and cannot be any more.
        #[arg(long)]
        skip_failed: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Dlq {
    /// Lists dead letters, oldest first.
    List {
        /// Of this topic.
        #[arg(long)]
        topic: Option<String>,
        /// Of this consumer group.
        #[arg(long)]
        group: Option<String>,
        /// Also those that were replayed or discarded.
        #[arg(long)]
        all: bool,
        /// So many at the most.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Shows a dead letter with its headers and value.
    Show {
        /// Its topic, with or without `.dlq`.
        topic: String,
        /// The partition of the dead-letter topic.
        partition: i32,
        /// The offset there.
        offset: i64,
    },
    /// Sends dead letters to their topics again; groups that have applied the event drop it.
    Replay {
        #[command(flatten)]
        selection: Selection,
        /// Also where the record was replayed or discarded before.
        #[arg(long, conflicts_with = "all")]
        again: bool,
    },
    /// Notes that nothing will be done about dead letters; they stay in their topic.
    Discard {
        #[command(flatten)]
        selection: Selection,
        /// Confirms it.
        #[arg(long, required = true)]
        yes: bool,
    },
}

/// One dead letter or all of them.
#[derive(Debug, Args)]
struct Selection {
    /// The record's topic, with or without `.dlq`.
    #[arg(value_name = "TOPIC", requires = "partition", required_unless_present = "all", conflicts_with = "all")]
    record_topic: Option<String>,
    /// The partition of the dead-letter topic.
    #[arg(requires = "offset")]
    partition: Option<i32>,
    /// The offset there.
    offset: Option<i64>,
    /// All about which nothing was done yet.
    #[arg(long)]
    all: bool,
    /// Of all, those of this topic.
    #[arg(long, requires = "all", conflicts_with = "record_topic")]
    topic: Option<String>,
    /// Of all, those of this consumer group.
    #[arg(long, requires = "all", conflicts_with = "record_topic")]
    group: Option<String>,
}

impl Selection {
    fn which(self, again: bool) -> Which {
        match (self.record_topic, self.partition, self.offset) {
            (Some(topic), Some(partition), Some(offset)) => {
                Which::One { place: Place { topic: dlq::topic_of(&topic), partition, offset }, again }
            }
            _ => Which::All(Filter { topic: self.topic, group: self.group }),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Outbox {
    /// How many events wait, since when, and how many are parked.
    Status {
        /// Of these services; of all where none is named.
        #[arg(value_enum)]
        services: Vec<Service>,
    },
    /// Lists the events that the broker has refused.
    Parked {
        /// Of this service.
        #[arg(value_enum)]
        service: Service,
    },
    /// Lets the relay try parked events again, once the cause is gone.
    Release {
        /// Of this service.
        #[arg(value_enum)]
        service: Service,
        /// The event's place in the outbox.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        seq: Option<i64>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
    /// Deletes a parked event: it is never published.
    Discard {
        /// Of this service.
        #[arg(value_enum)]
        service: Service,
        /// The event's place in the outbox.
        seq: i64,
        /// Confirms it.
        #[arg(long, required = true)]
        yes: bool,
    },
}

/// Does what the command line says.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            say(format_args!("careeros-ops: {error:#}"));
            if error.is::<Problems>() || error.is::<Misuse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { env_file, json, command } = arguments;
    let settings = Settings::load(env_file.as_deref())?;
    match command {
        Command::Dlq(command) => dead_letters(&Broker::new(settings.kafka()?), command, json).await?,
        Command::Lag { group, behind, watch } => {
            let broker = Broker::new(settings.kafka()?);
            print(&lag::report(&broker, &group, behind).await?, json)?;
            if let Some(seconds) = watch {
                self::watch(&broker, &group, behind, Duration::from_secs(seconds), json).await?;
            }
        }
        Command::Outbox(command) => return outboxes(&settings, command, json).await,
        Command::Rebuild { group, dry_run, skip_failed } => {
            let stop = CancellationToken::new();
            boot::cancel_on_signal(stop.clone())?;
            print(&group.rebuild(&settings, Options { dry_run, skip_failed }, &stop).await?, json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(broker: &Broker, groups: &[String], behind: bool, pause: Duration, json: bool) -> Result<()> {
    let stop = CancellationToken::new();
    boot::cancel_on_signal(stop.clone())?;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
        match lag::report(broker, groups, behind).await {
            Ok(report) => print(&report, json)?,
            // It may be back the next time.
            Err(error) => say(format_args!("careeros-ops: {error:#}")),
        }
    }
}

async fn dead_letters(broker: &Broker, command: Dlq, json: bool) -> Result<()> {
    match command {
        Dlq::List { topic, group, all, limit } => {
            print(&dlq::list(broker, &Filter { topic, group }, all, limit).await?, json)
        }
        Dlq::Show { topic, partition, offset } => {
            let place = Place { topic: dlq::topic_of(&topic), partition, offset };
            print(&dlq::show(broker, &place).await?, json)
        }
        Dlq::Replay { selection, again } => print(&dlq::replay(broker, &selection.which(again)).await?, json),
        Dlq::Discard { selection, yes: _ } => print(&dlq::discard(broker, &selection.which(false)).await?, json),
    }
}

async fn outboxes(settings: &Settings, command: Outbox, json: bool) -> Result<ExitCode> {
    let database = |service| settings.databases(&[service]).map(|mut found| found.remove(0).1);
    match command {
        Outbox::Status { services } => {
            let services = if services.is_empty() { Service::value_variants().to_vec() } else { services };
            let statuses = outbox::status(settings.databases(&services)?).await;
            print(&statuses, json)?;
            return Ok(if statuses.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Outbox::Parked { service } => print(&outbox::parked(&database(service)?).await?, json)?,
        Outbox::Release { service, seq, all: _ } => print(&outbox::release(&database(service)?, seq).await?, json)?,
        Outbox::Discard { service, seq, yes: _ } => print(&outbox::discard(&database(service)?, seq).await?, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(format!("careeros-ops {line}").split_whitespace())
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_the_help_gives_as_examples_is_understood() {
        let all = [EXAMPLES, DLQ_EXAMPLES, OUTBOX_EXAMPLES, REBUILD_EXAMPLES].join("\n");
        let examples: Vec<_> = all.lines().filter_map(|line| line.trim().strip_prefix("careeros-ops ")).collect();
        assert!(examples.len() > 15);
        for example in examples {
            assert!(parse(example).is_ok(), "{example}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (line, kind) in [
            ("dlq replay", ErrorKind::MissingRequiredArgument),
            ("dlq replay t 0", ErrorKind::MissingRequiredArgument),
            ("dlq replay t 0 1 --all", ErrorKind::ArgumentConflict),
            ("dlq replay t 0 1 --group g", ErrorKind::ArgumentConflict),
            ("dlq replay --group g", ErrorKind::MissingRequiredArgument),
            ("dlq discard t 0 1", ErrorKind::MissingRequiredArgument),
            ("dlq show t zero 1", ErrorKind::ValueValidation),
            ("outbox release lms", ErrorKind::MissingRequiredArgument),
            ("outbox release lms 1 --all", ErrorKind::ArgumentConflict),
            ("outbox discard lms 1", ErrorKind::MissingRequiredArgument),
            ("outbox parked gateway", ErrorKind::InvalidValue),
            ("rebuild some-group", ErrorKind::InvalidValue),
            ("lag --watch 0", ErrorKind::ValueValidation),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}: {error}");
        }
    }
}
