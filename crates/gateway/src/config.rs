//! The gateway's own settings.

use std::time::Duration;

use axum::http::HeaderValue;
use careeros_shared::{config::peer, env::Reader};
use redis::IntoConnectionInfo;
use secrecy::SecretString;

/// Settings that only the gateway has.
#[derive(Debug)]
pub struct Config {
    /// `THROTTLE_TTL`: the window of the rate limit.
    pub throttle_window: Duration,
    /// `THROTTLE_LIMIT`: requests of one client in a window.
    pub throttle_limit: u32,
    /// `REDIS_URL`: where all gateways count together.
    pub redis_url: Option<SecretString>,
    /// `CORS_ALLOWED_ORIGINS`: the origins of web clients.
    pub cors: Origins,
    /// The `*_GRPC_URL`s.
    pub peers: PeerUrls,
}

/// Whose pages may call from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Anybody's: `*`.
    Any,
    /// These.
    Listed(Vec<HeaderValue>),
}

/// Where the services are.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the address of the service of that name")]
pub struct PeerUrls {
    pub auth: String,
    pub profile: String,
    pub ai_core: String,
    pub roadmap: String,
    pub lms: String,
    pub edu_tracker: String,
    pub billing: String,
    pub analytics: String,
}

impl Config {
    /// Reads the settings.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let expects = "a number from 1";
        let cors = reader.with(
            "CORS_ALLOWED_ORIGINS",
            Origins::Any,
            "* or origins such as https://app.example.com, comma-separated",
            origins,
        );
        if reader.is_production() && cors == Origins::Any {
            reader.problem("CORS_ALLOWED_ORIGINS", "must list the origins of the web clients in production, not *");
        }
        let window = reader.with("THROTTLE_TTL", 60, "seconds from 1", |v| v.parse().ok().filter(|n| *n > 0));
        Self {
            throttle_window: Duration::from_secs(window),
            throttle_limit: reader.with("THROTTLE_LIMIT", 120, expects, |v| v.parse().ok().filter(|n| *n > 0)),
            redis_url: redis_url(reader),
            cors,
            peers: PeerUrls {
                auth: peer(reader, "AUTH_GRPC_URL", "localhost:6001"),
                profile: peer(reader, "USER_PROFILE_GRPC_URL", "localhost:6002"),
                ai_core: peer(reader, "AI_CORE_GRPC_URL", "localhost:6003"),
                roadmap: peer(reader, "ROADMAP_GRPC_URL", "localhost:6004"),
                lms: peer(reader, "LMS_GRPC_URL", "localhost:6005"),
                edu_tracker: peer(reader, "EDU_TRACKER_GRPC_URL", "localhost:6006"),
                billing: peer(reader, "BILLING_GRPC_URL", "localhost:6007"),
                analytics: peer(reader, "ANALYTICS_GRPC_URL", "localhost:6008"),
            },
        }
    }
}

fn redis_url(reader: &mut Reader<'_>) -> Option<SecretString> {
    let expects = "redis(s)://[user:password@]host[:port][/number]";
    reader.with("REDIS_URL", None, expects, |url| url.into_connection_info().is_ok().then(|| Some(url.into())))
}

fn origins(text: &str) -> Option<Origins> {
    if text.trim() == "*" {
        return Some(Origins::Any);
    }
    let listed = text.split(',').map(|origin| {
        let origin = origin.trim();
        let uri: axum::http::Uri = origin.parse().ok()?;
        let bare = uri.path() == "/" && !origin.ends_with('/') && uri.query().is_none();
        (matches!(uri.scheme_str(), Some("http" | "https")) && bare).then(|| origin.parse().ok())?
    });
    listed.collect::<Option<Vec<HeaderValue>>>().map(Origins::Listed)
}

#[cfg(test)]
mod tests {
    use careeros_shared::env::Env;

    use super::*;

    #[test]
    fn every_wrong_setting_is_named() {
        let env: Env = [
            ("THROTTLE_TTL", "0"),
            ("THROTTLE_LIMIT", "many"),
            ("REDIS_URL", "localhost"),
            ("CORS_ALLOWED_ORIGINS", "https://a.example/path"),
            ("LMS_GRPC_URL", "lms"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        let mut reader = Reader::new(&env);
        Config::read(&mut reader);
        let problems = reader.finish().unwrap_err().to_string();
        for name in ["THROTTLE_TTL", "THROTTLE_LIMIT", "REDIS_URL", "CORS_ALLOWED_ORIGINS", "LMS_GRPC_URL"] {
            assert!(problems.contains(name), "{problems}");
        }
    }

    #[test]
    fn production_refuses_pages_of_anybody() {
        for (cors, ok) in [("*", false), ("", false), ("https://app.example.com", true)] {
            let env: Env = [("APP_ENV", "production"), ("CORS_ALLOWED_ORIGINS", cors)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect();
            let mut reader = Reader::new(&env);
            Config::read(&mut reader);
            assert_eq!(reader.finish().is_ok(), ok, "{cors}");
        }
    }

    #[test]
    fn origins_are_a_star_or_a_list() {
        assert_eq!(origins("*"), Some(Origins::Any));
        let listed = origins("https://app.example.com, http://localhost:3000").unwrap();
        assert_eq!(
            listed,
            Origins::Listed(vec![
                HeaderValue::from_static("https://app.example.com"),
                HeaderValue::from_static("http://localhost:3000")
            ])
        );
        assert_eq!(origins("app.example.com"), None);
    }
}
