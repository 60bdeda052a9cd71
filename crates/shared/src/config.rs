//! The settings that every service has.

use std::{io::IsTerminal, time::Duration};

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use crate::env::{Env, Problems, Reader};

/// Which of the three kinds of place the service runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// A developer's machine.
    Development,
    /// A test run.
    Test,
    /// Where users are.
    Production,
}

/// What a service is called and where it listens when nobody says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The name in events, health answers and logs, e.g. `auth-service`.
    pub name: &'static str,
    /// The default of `HTTP_PORT`.
    pub http_port: u16,
    /// The default of `GRPC_PORT`.
    pub grpc_port: u16,
}

/// Settings that every service has.
#[derive(Debug, Clone)]
pub struct Common {
    /// `APP_ENV`.
    pub app_env: AppEnv,
    /// `LOG_LEVEL`: a level or tracing directives.
    pub log_level: String,
    /// `LOG_FORMAT` is json, or unset where the output is no terminal.
    pub log_json: bool,
    /// `HTTP_PORT`.
    pub http_port: u16,
    /// `GRPC_PORT`.
    pub grpc_port: u16,
    /// `SERVICE_SHARED_SECRET`.
    pub service_secret: SecretString,
    /// `AUTH_GRPC_URL`: where token keys and users' tenants are asked for.
    pub auth_grpc_url: String,
    /// `TRUSTED_PROXIES`: networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `REQUEST_TIMEOUT`: when a request has taken too long.
    pub request_timeout: Duration,
}

/// Where a service keeps its state and publishes its events. The gateway has neither.
#[derive(Debug, Clone)]
pub struct Stores {
    /// `DATABASE_URL`.
    pub database_url: SecretString,
    /// `DATABASE_MAX_CONNECTIONS`.
    pub database_max_connections: u32,
    /// `KAFKA_BROKERS`.
    pub kafka_brokers: String,
    /// `KAFKA_CLIENT_ID`.
    pub kafka_client_id: String,
    /// `KAFKA_TOPIC_PARTITIONS`: of topics that do not exist yet.
    pub kafka_topic_partitions: i32,
    /// `KAFKA_TOPIC_REPLICATION`: of topics that do not exist yet.
    pub kafka_topic_replication: i32,
    /// `KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_MECHANISM`, `KAFKA_SASL_USERNAME`, `KAFKA_SASL_PASSWORD`,
    /// `KAFKA_SSL_CA_LOCATION`, as librdkafka names them.
    pub kafka_security: Vec<(&'static str, SecretString)>,
}

/// Reads the settings of `service` and, by `own`, those that it alone has.
///
/// # Errors
/// Everything that is wrong with either.
pub fn load<T>(service: &Service, env: &Env, own: impl FnOnce(&mut Reader<'_>) -> T) -> Result<(Common, T), Problems> {
    let mut reader = Reader::new(env);
    let common = Common::read(&mut reader, service);
    let own = own(&mut reader);
    reader.finish().map(|()| (common, own))
}

impl Common {
    fn read(reader: &mut Reader<'_>, service: &Service) -> Self {
        let common = Self {
            app_env: reader.with("APP_ENV", AppEnv::Development, "development, test or production", |v| match v {
                "development" => Some(AppEnv::Development),
                "test" => Some(AppEnv::Test),
                "production" => Some(AppEnv::Production),
                _ => None,
            }),
            log_level: reader.optional("LOG_LEVEL").unwrap_or_else(|| "info".to_owned()),
            log_json: reader.with("LOG_FORMAT", !std::io::stderr().is_terminal(), "json or pretty", |v| match v {
                "json" => Some(true),
                "pretty" => Some(false),
                _ => None,
            }),
            http_port: reader.parsed("HTTP_PORT", service.http_port, "a port from 1 to 65535"),
            grpc_port: reader.parsed("GRPC_PORT", service.grpc_port, "a port from 1 to 65535"),
            service_secret: reader
                .secret("SERVICE_SHARED_SECRET", "16 or more visible ASCII characters, the same in every service"),
            auth_grpc_url: peer(reader, "AUTH_GRPC_URL", "localhost:6001"),
            trusted_proxies: reader.with(
                "TRUSTED_PROXIES",
                Vec::new(),
                "networks such as 10.0.0.0/8, comma-separated",
                |v| v.split(',').map(|net| net.trim().parse().ok()).collect(),
            ),
            request_timeout: reader.duration("REQUEST_TIMEOUT", Duration::from_secs(30)),
        };
        let secret = common.service_secret.expose_secret();
        if !secret.is_empty() && (secret.len() < 16 || !secret.bytes().all(|b| b.is_ascii_graphic())) {
            reader.problem("SERVICE_SHARED_SECRET", "must have 16 or more visible ASCII characters");
        }
        common
    }
}

impl Stores {
    /// Reads where the service keeps its state.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let database_url = reader.required("DATABASE_URL", "postgres://user:password@host:port/database");
        if !database_url.is_empty() && database_url.parse::<sqlx::postgres::PgConnectOptions>().is_err() {
            reader.problem("DATABASE_URL", "must be postgres://user:password@host:port/database");
        }
        let kafka_brokers = reader.required("KAFKA_BROKERS", "host:port, comma-separated");
        let well_formed = |broker: &str| broker.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !kafka_brokers.is_empty() && !kafka_brokers.split(',').all(well_formed) {
            reader.problem("KAFKA_BROKERS", "must be host:port, comma-separated");
        }
        let security = [
            ("KAFKA_SECURITY_PROTOCOL", "security.protocol"),
            ("KAFKA_SASL_MECHANISM", "sasl.mechanism"),
            ("KAFKA_SASL_USERNAME", "sasl.username"),
            ("KAFKA_SASL_PASSWORD", "sasl.password"),
            ("KAFKA_SSL_CA_LOCATION", "ssl.ca.location"),
        ];
        let security =
            security.into_iter().filter_map(|(name, key)| Some((key, reader.optional_secret(name)?))).collect();
        Self {
            database_url: database_url.into(),
            database_max_connections: reader.parsed("DATABASE_MAX_CONNECTIONS", 10, "a number of connections"),
            kafka_brokers,
            kafka_client_id: reader.optional("KAFKA_CLIENT_ID").unwrap_or_else(|| "careeros".to_owned()),
            kafka_topic_partitions: reader.parsed("KAFKA_TOPIC_PARTITIONS", 3, "a number of partitions"),
            kafka_topic_replication: reader.parsed("KAFKA_TOPIC_REPLICATION", 1, "a number of replicas"),
            kafka_security: security,
        }
    }
}

/// The address of another service, `host:port` or `http(s)://host:port`.
pub fn peer(reader: &mut Reader<'_>, name: &str, default: &str) -> String {
    reader.with(name, default.to_owned(), "host:port or http(s)://host:port", |text| {
        let uri = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: http::Uri = uri.parse().ok()?;
        let scheme = uri.scheme_str()?;
        (matches!(scheme, "http" | "https") && uri.port().is_some()).then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Service = Service { name: "test-service", http_port: 1, grpc_port: 2 };

    #[test]
    fn one_message_names_every_problem_of_shared_and_own_settings() {
        let env: Env = [("APP_ENV", "prod"), ("KAFKA_BROKERS", "localhost"), ("AUTH_GRPC_URL", "ftp://x:1")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect();
        let problems = load(&SERVICE, &env, Stores::read).unwrap_err().to_string();
        for name in ["APP_ENV", "KAFKA_BROKERS", "AUTH_GRPC_URL", "DATABASE_URL", "SERVICE_SHARED_SECRET"] {
            assert!(problems.contains(name), "{problems}");
        }
    }

    #[test]
    fn a_peer_may_have_a_scheme_or_not() {
        for (value, ok) in [("auth:50051", true), ("http://auth:50051", true), ("auth", false), ("https://a:1", true)] {
            let env: Env = [("X_GRPC_URL".to_owned(), value.to_owned())].into_iter().collect();
            let mut reader = Reader::new(&env);
            peer(&mut reader, "X_GRPC_URL", "localhost:1");
            assert_eq!(reader.finish().is_ok(), ok, "{value}");
        }
    }
}
