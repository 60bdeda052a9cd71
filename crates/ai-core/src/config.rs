//! The settings that the AI core alone has: its models and how long they may take.

use std::time::Duration;

use careeros_shared::{
    config::{Stores, peer},
    env::Reader,
};
use secrecy::SecretString;
use url::Url;

use crate::provider::openai::Endpoint;

const PUBLIC_API: &str = "https://api.openai.com/v1";

/// The settings.
#[derive(Debug)]
pub struct Config {
    /// Database and broker.
    pub stores: Stores,
    /// `BILLING_GRPC_URL`.
    pub billing_grpc_url: String,
    /// The models in the order in which they are asked; none where no key and no server of one's own is set.
    pub models: Vec<Endpoint>,
    /// `OPENAI_TIMEOUT`: how long one call may take.
    pub call_timeout: Duration,
    /// `OPENAI_DEADLINE`: how long all models together may take; below `REQUEST_TIMEOUT`.
    pub deadline: Duration,
}

impl Config {
    /// Reads the settings.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            stores: Stores::read(reader),
            billing_grpc_url: peer(reader, "BILLING_GRPC_URL", "localhost:6007"),
            models: models(reader),
            call_timeout: reader.duration("OPENAI_TIMEOUT", Duration::from_secs(10)),
            deadline: reader.duration("OPENAI_DEADLINE", Duration::from_secs(22)),
        }
    }
}

/// `OPENAI_MODEL`, then `OPENAI_FALLBACK_MODELS` on the same server, then `OPENAI_BACKUP_MODEL` on another.
fn models(reader: &mut Reader<'_>) -> Vec<Endpoint> {
    let mut models = Vec::new();
    let key = reader.optional_secret("OPENAI_API_KEY");
    let base = base_url(reader, "OPENAI_BASE_URL");
    let model = reader.optional("OPENAI_MODEL").unwrap_or_else(|| "gpt-4o-mini".to_owned());
    let fallbacks = reader.optional("OPENAI_FALLBACK_MODELS").unwrap_or_default();
    if is_usable(&base, key.as_ref()) {
        let names = std::iter::once(model.as_str()).chain(fallbacks.split(','));
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        models.extend(names.map(|name| Endpoint {
            base_url: base.clone(),
            api_key: key.clone(),
            model: name.to_owned(),
        }));
    }
    let backup_key = reader.optional_secret("OPENAI_BACKUP_API_KEY");
    let backup_base = base_url(reader, "OPENAI_BACKUP_BASE_URL");
    match reader.optional("OPENAI_BACKUP_MODEL") {
        Some(name) if is_usable(&backup_base, backup_key.as_ref()) => {
            models.push(Endpoint { base_url: backup_base, api_key: backup_key, model: name.trim().to_owned() });
        }
        Some(_) => reader.problem("OPENAI_BACKUP_MODEL", "needs OPENAI_BACKUP_BASE_URL or OPENAI_BACKUP_API_KEY"),
        None if is_usable(&backup_base, backup_key.as_ref()) => {
            reader.problem(
                "OPENAI_BACKUP_MODEL",
                "is required where OPENAI_BACKUP_BASE_URL or OPENAI_BACKUP_API_KEY is set",
            );
        }
        None => {}
    }
    models
}

/// The public API needs a key; a server of one's own may do without.
fn is_usable(base: &str, key: Option<&SecretString>) -> bool {
    key.is_some() || base != PUBLIC_API
}

fn base_url(reader: &mut Reader<'_>, name: &str) -> String {
    reader.with(name, PUBLIC_API.to_owned(), "an http(s):// URL such as https://api.openai.com/v1", |text| {
        let url = Url::parse(text).ok()?;
        matches!(url.scheme(), "http" | "https").then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use careeros_shared::env::Env;
    use secrecy::ExposeSecret;

    use super::*;

    /// Base URL, model and key.
    type Model = (String, String, Option<String>);

    fn read(variables: &[(&str, &str)]) -> (Vec<Model>, Option<String>) {
        let env: Env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&env);
        let models = models(&mut reader).into_iter().map(|each| {
            let key = each.api_key.map(|key| key.expose_secret().to_owned());
            (each.base_url, each.model, key)
        });
        (models.collect(), reader.finish().err().map(|problems| problems.to_string()))
    }

    #[test]
    fn without_a_key_or_a_server_of_ones_own_there_is_no_model() {
        assert_eq!(read(&[("OPENAI_MODEL", "gpt-5")]), (Vec::new(), None));
        assert_eq!(read(&[("OPENAI_BASE_URL", PUBLIC_API)]), (Vec::new(), None));
    }

    #[test]
    fn models_are_asked_in_the_order_primary_fallbacks_backup() {
        let (models, problems) = read(&[
            ("OPENAI_API_KEY", "k"),
            ("OPENAI_FALLBACK_MODELS", "m2, m3,"),
            ("OPENAI_BACKUP_BASE_URL", "http://localhost:11434/v1"),
            ("OPENAI_BACKUP_MODEL", "llama"),
        ]);
        let at_openai = |model: &str| (PUBLIC_API.to_owned(), model.to_owned(), Some("k".to_owned()));
        let backup = ("http://localhost:11434/v1".to_owned(), "llama".to_owned(), None);
        assert_eq!(models, [at_openai("gpt-4o-mini"), at_openai("m2"), at_openai("m3"), backup]);
        assert_eq!(problems, None);
    }

    #[test]
    fn half_a_backup_and_a_wrong_url_are_reported() {
        let (_, problems) = read(&[("OPENAI_BASE_URL", "localhost"), ("OPENAI_BACKUP_API_KEY", "k")]);
        let problems = problems.unwrap();
        assert!(problems.contains("OPENAI_BASE_URL must be") && problems.contains("OPENAI_BACKUP_MODEL is required"));
    }
}
