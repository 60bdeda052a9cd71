//! The subscription billing service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_billing::main(std::env::args_os())
}
