//! The edu-tracker service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(
        &careeros_edu_tracker::SERVICE,
        Some(&careeros_edu_tracker::MIGRATIONS),
        careeros_edu_tracker::run,
    )
}
