//! The roadmap service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_roadmap::main(std::env::args_os())
}
