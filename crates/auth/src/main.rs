//! The auth service as a process of its own.

use std::process::ExitCode;

use careeros_auth::command::{Arguments, Command, Operation, operate};
use careeros_shared::{boot, clock::Clock, env::Env};
use clap::Parser;

fn main() -> ExitCode {
    let operation = match Arguments::parse().command {
        None | Some(Command::Serve | Command::Migrate) => {
            return boot::main(&careeros_auth::SERVICE, Some(&careeros_auth::MIGRATIONS), careeros_auth::run);
        }
        Some(Command::Operator(command)) => Operation::Operator(command),
        Some(Command::Keys(command)) => Operation::Keys(command),
    };
    boot::exit_code(|| async {
        let told = operate(&Env::from_process(), &Clock::system(), operation).await?;
        #[expect(clippy::print_stdout, reason = "the answer to whoever typed the command")]
        {
            println!("{told}");
        }
        Ok(())
    })
}
