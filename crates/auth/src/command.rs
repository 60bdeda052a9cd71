//! The command line: serving, and what operators do that no route does.

use std::{ffi::OsString, io::Read, process::ExitCode};

use careeros_shared::{
    boot,
    clock::Clock,
    db::Db,
    env::{Env, Reader},
    identity::Verifier,
    service_secret::ServiceSecret,
    telemetry,
};
use chrono::{DateTime, Utc};
use clap::{Parser, Subcommand};
use secrecy::SecretString;

use crate::{
    MIGRATIONS, SERVICE, keys::Keys, operators, passwords::Passwords, run, secrets::Secrets, tokens::Lifetimes,
};

/// What the process is asked to do.
#[derive(Debug, Parser)]
#[command(about = "The CareerOS auth service. Settings come from the environment; .env.example lists them.", version)]
pub struct Arguments {
    /// Serves where absent.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What every service does.
    #[command(flatten)]
    Service(boot::Command),
    /// The platform's own staff.
    #[command(subcommand)]
    Operator(Operator),
    /// The keys that access tokens are signed with.
    #[command(subcommand)]
    Keys(KeyCommand),
}

impl Default for Command {
    fn default() -> Self {
        Self::Service(boot::Command::default())
    }
}

/// What can be done about operators.
#[derive(Debug, Clone, Subcommand)]
pub enum Operator {
    /// Make the user of an existing account an operator.
    Grant {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
    },
    /// Take the role away again and end the user's sessions.
    Revoke {
        /// The account's e-mail address.
        #[arg(long)]
        email: String,
    },
    /// Make a new account that is an operator's; its password is read from standard input.
    Create {
        /// The new account's e-mail address.
        #[arg(long)]
        email: String,
    },
    /// List all operators.
    List,
}

/// What can be done about signing keys.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum KeyCommand {
    /// Let a new key take over, half a minute from now; tokens of the old one stay valid until they expire.
    Rotate {
        /// The old keys have leaked: end them, and with them every access token, at once.
        #[arg(long)]
        withdraw: bool,
    },
}

/// The service as a process; `arguments` are those of its command line, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let operation = match Arguments::parse_from(arguments).command.unwrap_or_default() {
        Command::Service(command) => return boot::perform(command, &SERVICE, Some(&MIGRATIONS), run),
        Command::Operator(command) => Operation::Operator(command),
        Command::Keys(command) => Operation::Keys(command),
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

/// Does what operators ask for, on the database that the environment names. Returns what to tell them.
///
/// # Errors
/// Where the environment is wrong, or what fails.
pub async fn operate(env: &Env, clock: &Clock, operation: Operation) -> anyhow::Result<String> {
    telemetry::init(env.get("LOG_LEVEL").unwrap_or("warn"), env.get("LOG_FORMAT") == Some("json"));
    let now = clock.now();
    let mut reader = Reader::new(env);
    let url = reader.secret("DATABASE_URL", "postgres://user:password@host:port/database");
    match operation {
        Operation::Operator(command) => {
            reader.finish()?;
            appoint(&Db::connect_lazy(&url, 2, SERVICE.name)?, now, command).await
        }
        Operation::Keys(KeyCommand::Rotate { withdraw }) => {
            let secret = ServiceSecret::read(&mut reader);
            let lifetimes = Lifetimes::read(&mut reader);
            reader.finish()?;
            let db = Db::connect_lazy(&url, 2, SERVICE.name)?;
            let keys = Keys::new(db, &Secrets::new(&secret), Verifier::local(), lifetimes.access);
            let (kid, signs_from) = keys.rotate(now, withdraw).await?;
            Ok(format!("key {kid} signs from {}", signs_from.to_rfc3339()))
        }
    }
}

async fn appoint(db: &Db, now: DateTime<Utc>, command: Operator) -> anyhow::Result<String> {
    Ok(match command {
        Operator::Grant { email } => {
            operators::grant(db, now, &email).await?;
            format!("{email} is an operator; a session that is open knows it after its next refresh")
        }
        Operator::Revoke { email } => {
            operators::revoke(db, now, &email).await?;
            format!("{email} is no operator any more")
        }
        Operator::Create { email } => {
            let user_id = operators::create(db, &Passwords::new(1), now, &email, &read_password()?).await?;
            format!("{email} is an operator, user {user_id}")
        }
        Operator::List => {
            let line =
                |o: operators::Operator| format!("{}  {}  since {}", o.user_id, o.email, o.granted_at.to_rfc3339());
            operators::list(db).await?.into_iter().map(line).collect::<Vec<_>>().join("\n")
        }
    })
}

/// What [`operate`] does.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Something about operators.
    Operator(Operator),
    /// Something about signing keys.
    Keys(KeyCommand),
}

/// The first line of standard input: a password on the command line would show in the process list.
fn read_password() -> anyhow::Result<SecretString> {
    let mut input = String::new();
    std::io::stdin().take(4096).read_to_string(&mut input)?;
    Ok(input.lines().next().unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_service_does_is_understood_besides_its_own() {
        for arguments in [&["health"][..], &["migrate"], &["serve"]] {
            let parsed = Arguments::try_parse_from([&["careeros-auth"], arguments].concat()).unwrap();
            assert!(matches!(parsed.command, Some(Command::Service(_))), "{arguments:?}");
        }
        let parsed = Arguments::try_parse_from(["careeros-auth", "keys", "rotate"]).unwrap();
        assert!(matches!(parsed.command, Some(Command::Keys(KeyCommand::Rotate { withdraw: false }))));
    }
}
