//! The learning management service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(&careeros_lms::SERVICE, Some(&careeros_lms::MIGRATIONS), careeros_lms::run)
}
