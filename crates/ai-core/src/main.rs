//! The AI core as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_ai_core::main(std::env::args_os())
}
