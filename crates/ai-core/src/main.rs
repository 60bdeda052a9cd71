//! The AI core as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(&careeros_ai_core::SERVICE, Some(&careeros_ai_core::MIGRATIONS), careeros_ai_core::run)
}
