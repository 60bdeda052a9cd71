//! PostgreSQL and the broker for the nine services: what the environment names, or else private ones.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use careeros_shared::{db::Db, env::Env};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{
    broker::Broker,
    data::DataDir,
    databases,
    net::Port,
    postgres::{self, Postgres},
    services, ui,
};

/// Nine pools of up to ten connections, relays and an operator's `psql`.
const MAX_CONNECTIONS: u16 = 150;

/// How the stores are started.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where a private PostgreSQL listens.
    pub postgres: Port,
    /// Where the embedded broker listens.
    pub broker: Port,
    /// Whether commits survive a crash of the machine.
    pub durable: bool,
}

impl Options {
    /// On fixed ports, which the environment can move, with commits that last.
    pub fn from_env(env: &Env) -> Result<Self> {
        Ok(Self {
            postgres: fixed(env, "CAREEROS_POSTGRES_PORT", 54_329)?,
            broker: fixed(env, "CAREEROS_BROKER_PORT", 9092)?,
            durable: true,
        })
    }
}

/// The port that `variable` names, or `default`.
pub fn fixed(env: &Env, variable: &'static str, default: u16) -> Result<Port> {
    let number = match env.get(variable) {
        None => default,
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .with_context(|| format!("{variable} must be a port from 1 to 65535"))?,
    };
    Ok(Port::Fixed { number, variable })
}

/// Where the services keep their state, and the servers that were started for it.
#[derive(Debug)]
pub struct Stores {
    /// Each database's URL, by its name.
    pub urls: BTreeMap<&'static str, SecretString>,
    /// Each database's URL as its owner, by its name.
    pub owner_urls: BTreeMap<&'static str, SecretString>,
    /// `KAFKA_BROKERS`.
    pub brokers: String,
    postgres: Option<Postgres>,
    broker: Option<Broker>,
}

impl Stores {
    /// Starts what `env` does not name, and applies the migrations.
    ///
    /// # Errors
    /// One sentence saying what to do.
    pub async fn start(env: &Env, data: &DataDir, options: Options) -> Result<Self> {
        let (postgres, broker) =
            tokio::try_join!(start_postgres(env, data, options), start_broker(env, data, options))?;
        let mut owner_urls = external_urls(env)?;
        let mut urls = owner_urls.clone();
        if let Some(server) = &postgres {
            for database in databases::provision(server, data.secrets()).await? {
                urls.entry(database.name).or_insert(database.service_url);
                owner_urls.entry(database.name).or_insert(database.migrator_url);
            }
        }
        ui::say("Applying migrations");
        for database in services::ALL.iter().filter_map(|entry| entry.database) {
            let url = owner_urls.get(database.name).with_context(|| format!("{} has no database", database.name))?;
            Db::connect_lazy(url, 2, "careeros-fleet")?
                .migrate(database.migrations)
                .await
                .with_context(|| format!("the migrations of {} could not be applied", database.name))?;
        }
        let brokers = match (&broker, env.get("KAFKA_BROKERS")) {
            (Some(broker), _) => broker.bootstrap_servers(),
            (None, Some(brokers)) => brokers.to_owned(),
            (None, None) => bail!("there is no broker"),
        };
        Ok(Self { urls, owner_urls, brokers, postgres, broker })
    }

    /// Waits until a server that was started here ends by itself; it does not while all is well.
    pub async fn ended(&mut self) -> anyhow::Error {
        match &mut self.postgres {
            Some(postgres) => postgres.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Stops what was started here.
    ///
    /// # Errors
    /// Where a server had failed before.
    pub async fn stop(self) -> Result<()> {
        if let Some(broker) = self.broker {
            broker.stop().await?;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await?;
        }
        Ok(())
    }
}

async fn start_postgres(env: &Env, data: &DataDir, options: Options) -> Result<Option<Postgres>> {
    if external_urls(env)?.len() == databases::NAMES.len() {
        ui::say("Using the PostgreSQL that the environment names");
        return Ok(None);
    }
    ui::say("Starting PostgreSQL");
    let options =
        postgres::Options { port: options.postgres, durable: options.durable, max_connections: MAX_CONNECTIONS };
    Postgres::start(data, options).await.map(Some)
}

async fn start_broker(env: &Env, data: &DataDir, options: Options) -> Result<Option<Broker>> {
    if env.get("KAFKA_BROKERS").is_some() {
        ui::say("Using the broker that KAFKA_BROKERS names");
        return Ok(None);
    }
    ui::say("Starting the broker");
    Broker::start(data, options.broker).await.map(Some)
}

/// The databases that the environment names: `<DATABASE>_DATABASE_URL` one by one, or `DATABASE_URL` for the server of all
/// that are not.
fn external_urls(env: &Env) -> Result<BTreeMap<&'static str, SecretString>> {
    let mut urls = BTreeMap::new();
    for database in services::ALL.iter().filter_map(|entry| entry.database) {
        if let Some(url) = env.get(database.url_variable) {
            urls.insert(database.name, url.to_owned().into());
        } else if let Some(server) = env.get("DATABASE_URL") {
            let mut url = Url::parse(server).ok().filter(|url| url.scheme().starts_with("postgres"));
            let url = url.as_mut().context("DATABASE_URL must be postgres://user:password@host:port/database")?;
            url.set_path(database.name);
            urls.insert(database.name, url.to_string().into());
        }
    }
    Ok(urls)
}

/// The URL of one database as text, for a service's environment.
pub(crate) fn text(url: &SecretString) -> &str {
    url.expose_secret()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> Env {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn databases_of_the_environment_win() {
        assert!(external_urls(&env(&[])).unwrap().is_empty());
        let one = external_urls(&env(&[("LMS_DATABASE_URL", "postgres://h/mine")])).unwrap();
        assert_eq!(one.keys().copied().collect::<Vec<_>>(), ["lms"]);
        let both = [("DATABASE_URL", "postgres://u:p@h:5432/postgres"), ("LMS_DATABASE_URL", "postgres://h/mine")];
        let all = external_urls(&env(&both)).unwrap();
        assert_eq!(all.len(), 8);
        assert_eq!(text(&all["lms"]), "postgres://h/mine");
        assert_eq!(text(&all["auth"]), "postgres://u:p@h:5432/auth");
        assert!(external_urls(&env(&[("DATABASE_URL", "mysql://h/x")])).is_err());
    }
}
