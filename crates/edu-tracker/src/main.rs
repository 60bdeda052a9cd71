//! The edu-tracker service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_edu_tracker::main(std::env::args_os())
}
