//! All nine services in one program, which is what images hold: `careeros auth` does what `careeros-auth` does.
//!
//! It is linked once instead of nine times, the images share its layer, and processes on one machine share its pages.

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, ValueEnum};

/// The first argument; the others are the service's own.
#[derive(Debug, Parser)]
#[command(
    about = "CareerOS. Settings come from the environment; .env.example lists them.",
    override_usage = "careeros <SERVICE> [COMMAND]",
    after_help = "careeros <SERVICE> --help lists the commands; without one it serves.",
    version
)]
struct Arguments {
    /// Which service this process is
    service: Service,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Service {
    Gateway,
    Auth,
    Profile,
    AiCore,
    Roadmap,
    Lms,
    EduTracker,
    Billing,
    Analytics,
}

fn main() -> ExitCode {
    let Arguments { service } = Arguments::parse_from(std::env::args_os().take(2));
    let name = service.to_possible_value().map(|value| OsString::from(format!("careeros {}", value.get_name())));
    let arguments = name.into_iter().chain(std::env::args_os().skip(2));
    match service {
        Service::Gateway => careeros_gateway::main(arguments),
        Service::Auth => careeros_auth::main(arguments),
        Service::Profile => careeros_profile::main(arguments),
        Service::AiCore => careeros_ai_core::main(arguments),
        Service::Roadmap => careeros_roadmap::main(arguments),
        Service::Lms => careeros_lms::main(arguments),
        Service::EduTracker => careeros_edu_tracker::main(arguments),
        Service::Billing => careeros_billing::main(arguments),
        Service::Analytics => careeros_analytics::main(arguments),
    }
}
