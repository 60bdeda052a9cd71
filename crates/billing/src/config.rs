//! The settings that billing alone has.

use careeros_shared::{config::Stores, env::Reader, production};
use secrecy::{ExposeSecret, SecretString};

/// The service's own settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Database and broker.
    pub stores: Stores,
    /// `BILLING_WEBHOOK_SECRETS`: one, or two while the provider changes from one to the other. Without any, webhooks are
    /// refused.
    pub webhook_secrets: Vec<SecretString>,
}

impl Config {
    /// Reads them.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let webhook_secrets =
            reader.with("BILLING_WEBHOOK_SECRETS", Vec::new(), "one or two secrets, comma-separated", parse_secrets);
        if reader.is_production() && webhook_secrets.is_empty() {
            reader
                .problem("BILLING_WEBHOOK_SECRETS", "is required in production: the payment provider's signing secret");
        }
        for secret in &webhook_secrets {
            production::check_secret(
                reader,
                "BILLING_WEBHOOK_SECRETS: one of them",
                secret.expose_secret(),
                production::SECRET_MIN,
            );
        }
        Self { stores: Stores::read(reader), webhook_secrets }
    }
}

fn parse_secrets(text: &str) -> Option<Vec<SecretString>> {
    let secrets: Vec<_> = text.split(',').map(str::trim).collect();
    let fit = secrets.len() <= 2 && secrets.iter().all(|secret| !secret.is_empty());
    fit.then(|| secrets.into_iter().map(SecretString::from).collect())
}

#[cfg(test)]
mod tests {
    use careeros_shared::env::Env;

    use super::*;

    #[test]
    fn production_takes_no_unsigned_webhooks() {
        for (secrets, ok) in [("", false), ("too-short", false), ("4b1f0c9e7a6d52384b1f0c9e7a6d5238", true)] {
            let env: Env = [
                ("APP_ENV", "production"),
                ("BILLING_WEBHOOK_SECRETS", secrets),
                ("DATABASE_URL", "postgres://billing@localhost/billing"),
                ("KAFKA_BROKERS", "localhost:9092"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
            let mut reader = Reader::new(&env);
            Config::read(&mut reader);
            assert_eq!(reader.finish().is_ok(), ok, "{secrets}");
        }
    }

    #[test]
    fn one_or_two_secrets_are_read() {
        for (text, count) in [("a", Some(1)), ("a, b", Some(2)), ("a,b,c", None), ("a,", None), (",", None)] {
            assert_eq!(parse_secrets(text).map(|secrets| secrets.len()), count, "{text}");
        }
    }
}
