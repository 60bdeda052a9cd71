//! The user profile service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(&careeros_profile::SERVICE, Some(&careeros_profile::MIGRATIONS), careeros_profile::run)
}
