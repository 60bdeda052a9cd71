//! The auth service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_auth::main(std::env::args_os())
}
