//! Hands over to the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    careeros_ops::cli::main().await
}
