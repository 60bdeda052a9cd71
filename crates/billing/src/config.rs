//! The settings that billing alone has.

use careeros_shared::{config::Stores, env::Reader};
use secrecy::SecretString;

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
    use super::*;

    #[test]
    fn one_or_two_secrets_are_read() {
        for (text, count) in [("a", Some(1)), ("a, b", Some(2)), ("a,b,c", None), ("a,", None), (",", None)] {
            assert_eq!(parse_secrets(text).map(|secrets| secrets.len()), count, "{text}");
        }
    }
}
