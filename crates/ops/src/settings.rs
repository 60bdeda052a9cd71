//! Where broker and databases are: the environment, and a file of `NAME=value` lines that wins over it.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use careeros_shared::{
    config::Stores,
    env::{Env, Reader},
    kafka::Kafka,
};
use clap::ValueEnum;
use rdkafka::ClientConfig;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;

/// A service with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are the services' names")]
pub enum Service {
    Auth,
    #[value(alias = "profile")]
    UserProfile,
    AiCore,
    Roadmap,
    Lms,
    EduTracker,
    Billing,
    Analytics,
}

impl Service {
    /// Names the database, as the role that serves requests.
    fn variable(self) -> &'static str {
        match self {
            Self::Auth => "AUTH_DATABASE_URL",
            Self::UserProfile => "USER_PROFILE_DATABASE_URL",
            Self::AiCore => "AI_CORE_DATABASE_URL",
            Self::Roadmap => "ROADMAP_DATABASE_URL",
            Self::Lms => "LMS_DATABASE_URL",
            Self::EduTracker => "EDU_TRACKER_DATABASE_URL",
            Self::Billing => "BILLING_DATABASE_URL",
            Self::Analytics => "ANALYTICS_DATABASE_URL",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// A setting or an argument is wrong, which nothing but another one helps against.
#[derive(Debug)]
pub struct Misuse(pub String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// The settings.
#[derive(Debug)]
pub struct Settings {
    env: Env,
}

impl Settings {
    /// The process's environment, and above it what `file` says.
    ///
    /// # Errors
    /// [`Misuse`] where the file cannot be read.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let mut env = Env::from_process();
        if let Some(file) = file {
            let text = fs::read_to_string(file).map_err(|error| {
                Misuse(format!("cannot read {}: {error}; does the fleet run (./scripts/dev.sh)?", file.display()))
            })?;
            for (name, value) in parse(&text).with_context(|| file.display().to_string())? {
                env.set(name, value);
            }
        }
        Ok(Self { env })
    }

    /// With the variables of `env` alone.
    pub fn new(env: Env) -> Self {
        Self { env }
    }

    /// How to reach the broker.
    ///
    /// # Errors
    /// `Problems` with what is missing or malformed.
    pub fn kafka(&self) -> Result<ClientConfig> {
        // Read as services read it. They have one database each; here those have variables of their own.
        let mut env = self.env.clone();
        env.set("DATABASE_URL", "postgres://unused/unused");
        // What production asks of that URL is not meant.
        env.set("APP_ENV", "development");
        let mut reader = Reader::new(&env);
        let stores = Stores::read(&mut reader);
        reader.finish()?;
        let mut config = Kafka::new(&stores).client();
        config.set("client.id", "careeros-ops");
        Ok(config)
    }

    /// The databases of `services`, as the roles that serve requests.
    ///
    /// # Errors
    /// `Problems` with everything that is missing or malformed.
    pub fn databases(&self, services: &[Service]) -> Result<Vec<(Service, PgConnectOptions)>> {
        let mut reader = Reader::new(&self.env);
        let databases: Vec<_> =
            services.iter().filter_map(|service| Some((*service, url(&mut reader, service.variable())?))).collect();
        reader.finish()?;
        Ok(databases)
    }

    /// The database of a service with a projection, as its owner: the role that migrations run as.
    ///
    /// # Errors
    /// `Problems` where it is missing or malformed.
    pub fn owned_database(&self, variable: &'static str) -> Result<PgConnectOptions> {
        let mut reader = Reader::new(&self.env);
        let options = url(&mut reader, variable);
        reader.finish()?;
        options.with_context(|| format!("{variable} is not usable"))
    }
}

fn url(reader: &mut Reader<'_>, variable: &'static str) -> Option<PgConnectOptions> {
    let owner = if variable.contains("MIGRATION") { ", as the owner that migrations run as" } else { "" };
    let text = reader.required(variable, &format!("postgres://user:password@host:port/database{owner}"));
    let options = text.starts_with("postgres").then(|| text.parse().ok()).flatten();
    if options.is_none() && !text.is_empty() {
        reader.problem(variable, "must be postgres://user:password@host:port/database");
    }
    options.map(|options: PgConnectOptions| options.application_name("careeros-ops"))
}

/// The variables of a settings file; empty lines and those that begin with `#` count for nothing.
fn parse(text: &str) -> Result<Vec<(&str, &str)>> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let pair = line.split_once('=').filter(|(name, _)| !name.is_empty());
            pair.ok_or_else(|| Misuse(format!("line {number} is not NAME=value")).into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use careeros_shared::env::Problems;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_file_has_a_variable_a_line_and_says_which_has_none() {
        assert_eq!(parse("# c\n\nA=b=c\n B= \n").unwrap(), [("A", "b=c"), ("B", "")]);
        let error = parse("A=b\nnonsense").unwrap_err();
        assert!(error.is::<Misuse>() && error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn only_what_is_needed_is_required_and_all_of_that_is_named() {
        let settings = settings(&[("LMS_DATABASE_URL", "postgres://h/lms"), ("BILLING_DATABASE_URL", "mysql://h/b")]);
        assert_eq!(settings.databases(&[Service::Lms]).unwrap().len(), 1);
        let error = settings.databases(&[Service::Lms, Service::Auth, Service::Billing]).unwrap_err();
        assert!(error.is::<Problems>());
        let text = error.to_string();
        assert!(
            text.contains("AUTH_DATABASE_URL is required") && text.contains("BILLING_DATABASE_URL must be"),
            "{text}"
        );
        assert!(settings.kafka().unwrap_err().to_string().contains("KAFKA_BROKERS"));
    }

    #[test]
    fn the_broker_is_reached_as_services_reach_it() {
        let settings = settings(&[
            ("KAFKA_BROKERS", "a:1,b:2"),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            ("KAFKA_SASL_USERNAME", "ops"),
            ("KAFKA_SASL_PASSWORD", "of-ops"),
        ]);
        let config = settings.kafka().unwrap();
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(config.get("sasl.username"), Some("ops"));
    }
}
