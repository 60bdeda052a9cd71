//! The roadmap service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(&careeros_roadmap::SERVICE, Some(&careeros_roadmap::MIGRATIONS), careeros_roadmap::run)
}
