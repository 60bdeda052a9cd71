//! The user profile service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_profile::main(std::env::args_os())
}
