//! The analytics service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(
        &careeros_analytics::SERVICE,
        Some(&careeros_analytics::MIGRATIONS),
        careeros_analytics::run,
    )
}
