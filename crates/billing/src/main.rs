//! The subscription billing service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    careeros_shared::boot::main(&careeros_billing::SERVICE, Some(&careeros_billing::MIGRATIONS), careeros_billing::run)
}
