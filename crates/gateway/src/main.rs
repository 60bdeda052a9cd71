//! The API gateway as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_gateway::main(std::env::args_os())
}
