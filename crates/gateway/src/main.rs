//! The API gateway as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(&careeros_gateway::SERVICE, None, careeros_gateway::run)
}
