//! The learning management service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_lms::main(std::env::args_os())
}
