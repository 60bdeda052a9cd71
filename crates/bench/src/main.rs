//! Measures the fleet on this machine: nine processes of the binaries beside this one, on a private PostgreSQL and the
//! embedded broker, each a process of its own, with commits that last.
//!
//! - [`paths`]: the subcommand that measures the main requests
//! - [`ai`]: the subcommand that measures what is added to a model's time
//! - [`events`]: the subcommand that measures the way of events
//! - [`start`]: the subcommand that measures how services come up
//! - [`common`]: what every subcommand takes
//! - [`fleet`]: the processes and their stores
//! - [`process`]: what the system says of a process
//! - [`memory`]: of each process
//! - [`processor`]: its time, by process
//! - [`times`]: percentiles of how long things took
//! - [`people`]: whoever sends the requests
//! - [`drain`]: waiting until nothing is under way
//! - [`pace`]: requests at an even rate
//! - [`generate`]: made-up events, the same for the same seed
//! - [`topics`]: filling and reading topics
//! - [`statements`]: where PostgreSQL's time goes
//! - [`servers`]: servers to compare with, each a process of its own
//! - [`report`]: figures, checks, and how they are shown

mod ai;
mod common;
mod drain;
mod events;
mod fleet;
mod generate;
mod memory;
mod pace;
mod paths;
mod people;
mod process;
mod processor;
mod report;
mod scale;
mod servers;
mod start;
mod statements;
mod times;
mod topics;

use std::process::ExitCode;

use anyhow::{Result, bail};
use careeros_fleet::{broker, signals::Signals, ui};
use clap::{Parser, Subcommand};

use crate::{
    common::Common,
    report::{Report, Setting},
};

/// Measures CareerOS on this machine: one subject, or all of them.
#[derive(Debug, Parser)]
#[command(name = "careeros-bench", version)]
struct Arguments {
    #[command(subcommand)]
    subject: Option<Subject>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// How fast the main requests are answered, beside what the machine could do at the most.
    Paths(paths::Arguments),
    /// What gateway and AI core add to the time that a model takes, and to each piece of a streamed answer.
    Ai(ai::Arguments),
    /// How fast events are published and applied, how soon they show, and what an idle fleet costs.
    Events(events::Arguments),
    /// How soon services answer after their start, and how much memory the fleet takes then.
    Start(start::Arguments),
    /// A server to compare with; it says its port on standard output.
    #[command(hide = true)]
    Serve(servers::Arguments),
    /// The embedded broker alone, on the data of `--data`.
    #[command(hide = true)]
    Broker {
        #[arg(long)]
        port: u16,
    },
    /// How the cost of every path grows with what is in the tables.
    Scale(scale::Arguments),
}

/// What is measured where no subject is named.
const ALL: [&str; 4] = ["start", "paths", "ai", "events"];

#[tokio::main]
async fn main() -> ExitCode {
    // Two providers are in this process; the services use this one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let Arguments { subject, common } = Arguments::parse();
    if let (Some(Subject::Broker { port }), Some(data)) = (&subject, &common.data) {
        return ended(broker::serve(data, *port).await.map(|()| true));
    }
    // Dropping what is under way stops the servers that it has started.
    let work = async {
        let mut signals = Signals::catch()?;
        tokio::select! {
            done = run(subject, &common) => done,
            request = signals.next() => bail!("{request}"),
        }
    };
    ended(work.await)
}

/// The exit status of what was done, whose failure is told.
fn ended(done: Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            ui::say(format_args!("careeros-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures, and returns whether everything was right meanwhile.
async fn run(subject: Option<Subject>, common: &Common) -> Result<bool> {
    // What cannot be read is said before minutes of work.
    let before = common.compare.as_deref().map(Report::read).transpose()?;
    let mut report = Report::new(Setting::own());
    let subjects = match subject {
        Some(Subject::Serve(arguments)) => {
            servers::run(&arguments).await?;
            return Ok(true);
        }
        // Its report is one for each size.
        Some(Subject::Scale(arguments)) => return scale::run(&arguments, common).await,
        Some(subject) => vec![subject],
        None => ALL.into_iter().map(with_defaults).collect::<Result<_>>()?,
    };
    let mut measured = Ok(());
    for subject in &subjects {
        measured = subject.measure(common, &mut report).await;
        if measured.is_err() {
            break;
        }
    }
    // Where something has failed, what is known by then may say why.
    ui::print(report.table(before.as_ref()));
    measured?;
    if let Some(path) = &common.json {
        report.write(path)?;
    }
    Ok(report.is_right())
}

/// A subject as it is measured where nobody asks for anything special.
fn with_defaults(name: &str) -> Result<Subject> {
    let arguments = Arguments::try_parse_from(["careeros-bench", name])?;
    arguments.subject.ok_or_else(|| anyhow::anyhow!("{name} is no subject"))
}

impl Subject {
    async fn measure(&self, common: &Common, report: &mut Report) -> Result<()> {
        match self {
            Self::Paths(arguments) => paths::run(arguments, common, report).await,
            Self::Ai(arguments) => ai::run(arguments, common, report).await,
            Self::Events(arguments) => events::run(arguments, common, report).await,
            Self::Start(arguments) => start::run(arguments, common, report).await,
            Self::Serve(_) | Self::Broker { .. } | Self::Scale(_) => bail!("it has no part in this report"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_defaults() {
        for name in ALL {
            with_defaults(name).unwrap();
        }
    }

    #[test]
    fn the_report_can_be_asked_for_before_and_after_the_subject() {
        for arguments in [["--json", "a", "events"], ["events", "--json", "a"]] {
            let parsed = Arguments::try_parse_from(["careeros-bench"].into_iter().chain(arguments)).unwrap();
            assert_eq!(parsed.common.json, Some("a".into()));
        }
    }
}
