//! The analytics service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_analytics::main(std::env::args_os())
}
