//! The settings that every service has.

use std::{io::IsTerminal, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::{
    env::{Env, Problems, Reader, parse_duration},
    kafka, production,
    service_secret::ServiceSecret,
};

/// A longer grace would leave requests under way too little time.
const GRACE_MAX: Duration = Duration::from_secs(8);

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
    pub service_secret: ServiceSecret,
    /// `AUTH_GRPC_URL`: where token keys and users' tenants are asked for.
    pub auth_grpc_url: String,
    /// `TRUSTED_PROXIES`: networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `REQUEST_TIMEOUT`: when a request has taken too long.
    pub request_timeout: Duration,
    /// `SHUTDOWN_GRACE`: how long requests are still taken after SIGTERM.
    pub shutdown_grace: Duration,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector of traces and metrics.
    pub otlp_endpoint: Option<String>,
    /// `OTEL_TRACES_SAMPLER_ARG`: the share of traces that are recorded, 0 to 1.
    pub trace_ratio: f64,
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

/// Reads the settings of `service` and, by `own`, those that it alone has; in production it also asks the database
/// whether the service's role is one that row-level security binds.
///
/// # Errors
/// Everything that is wrong with any of it.
pub async fn load<T>(
    service: &Service,
    env: &Env,
    own: impl FnOnce(&mut Reader<'_>) -> T,
) -> Result<(Common, T), Problems> {
    let mut reader = Reader::new(env);
    let common = Common::read(&mut reader, service);
    let own = own(&mut reader);
    if let (true, Some(url)) = (reader.is_production(), env.get("DATABASE_URL"))
        && let Some(problem) = production::role_problem(url).await
    {
        reader.problem("DATABASE_URL", &problem);
    }
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
            service_secret: ServiceSecret::read(reader),
            auth_grpc_url: peer(reader, "AUTH_GRPC_URL", "localhost:6001"),
            trusted_proxies: reader.with(
                "TRUSTED_PROXIES",
                Vec::new(),
                "networks such as 10.0.0.0/8, comma-separated",
                |v| v.split(',').map(|net| net.trim().parse().ok()).collect(),
            ),
            request_timeout: reader.duration("REQUEST_TIMEOUT", Duration::from_secs(30)),
            shutdown_grace: reader.with("SHUTDOWN_GRACE", Duration::from_secs(3), "a time span up to 8s", |text| {
                parse_duration(text).filter(|grace| *grace <= GRACE_MAX)
            }),
            otlp_endpoint: reader.with("OTEL_EXPORTER_OTLP_ENDPOINT", None, "http(s)://host:port", |text| {
                let uri: http::Uri = text.parse().ok()?;
                matches!(uri.scheme_str(), Some("http" | "https")).then(|| Some(text.to_owned()))
            }),
            trace_ratio: reader.parsed("OTEL_TRACES_SAMPLER_ARG", 1.0, "a share of all traces from 0 to 1"),
        };
        // Its value is in use already.
        worker_threads(reader);
        let ratio = common.trace_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            reader.problem("OTEL_TRACES_SAMPLER_ARG", "must be a share of all traces from 0 to 1");
        }
        common
    }
}

impl Stores {
    /// Reads where the service keeps its state.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let database_url = reader.required("DATABASE_URL", "postgres://user:password@host:port/database");
        // Without a password the role proves itself in another way.
        if let Some(password) = Url::parse(&database_url).ok().as_ref().and_then(Url::password) {
            production::check_secret(reader, "DATABASE_URL: its password", password, production::PASSWORD_MIN);
        }
        if !database_url.is_empty() && database_url.parse::<sqlx::postgres::PgConnectOptions>().is_err() {
            reader.problem("DATABASE_URL", "must be postgres://user:password@host:port/database");
        }
        let kafka_brokers = reader.required("KAFKA_BROKERS", "host:port, comma-separated");
        let well_formed = |broker: &str| broker.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !kafka_brokers.is_empty() && !kafka_brokers.split(',').all(well_formed) {
            reader.problem("KAFKA_BROKERS", "must be host:port, comma-separated");
        }
        Self {
            database_url: database_url.into(),
            database_max_connections: reader.parsed("DATABASE_MAX_CONNECTIONS", 10, "a number of connections"),
            kafka_brokers,
            kafka_client_id: reader.optional("KAFKA_CLIENT_ID").unwrap_or_else(|| "careeros".to_owned()),
            kafka_topic_partitions: reader.parsed("KAFKA_TOPIC_PARTITIONS", 3, "a number of partitions"),
            kafka_topic_replication: reader.parsed("KAFKA_TOPIC_REPLICATION", 1, "a number of replicas"),
            kafka_security: kafka::security::read(reader),
        }
    }
}

/// How many threads serve requests: half of the cores, as a service shares its machine with those that it calls, and threads
/// that have little to do cost more in waking each other than they bring. `TOKIO_WORKER_THREADS` says otherwise.
///
/// It is needed before all else, to read the other settings on; a wrong value is reported together with theirs.
pub(crate) fn worker_threads(reader: &mut Reader<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    reader.with("TOKIO_WORKER_THREADS", cores.div_ceil(2), "a number of threads from 1 to 1024", |text| {
        text.parse().ok().filter(|number| (1..=1024).contains(number))
    })
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

    #[tokio::test]
    async fn one_message_names_every_problem_of_shared_and_own_settings() {
        let env: Env = [
            ("APP_ENV", "prod"),
            ("KAFKA_BROKERS", "localhost"),
            ("AUTH_GRPC_URL", "ftp://x:1"),
            ("SHUTDOWN_GRACE", "9s"),
            ("TOKIO_WORKER_THREADS", "0"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into_iter()
        .collect();
        let problems = load(&SERVICE, &env, Stores::read).await.unwrap_err().to_string();
        for name in [
            "APP_ENV",
            "KAFKA_BROKERS",
            "AUTH_GRPC_URL",
            "DATABASE_URL",
            "SERVICE_SHARED_SECRET",
            "SHUTDOWN_GRACE",
            "TOKIO_WORKER_THREADS",
        ] {
            assert!(problems.contains(name), "{problems}");
        }
    }

    #[tokio::test]
    async fn production_refuses_secrets_that_development_allows() {
        let env = |app_env: &str| -> Env {
            [
                ("APP_ENV", app_env),
                ("SERVICE_SHARED_SECRET", "a-secret-for-tests-only"),
                ("DATABASE_URL", "postgres://auth:auth@localhost:1/auth"),
                ("KAFKA_BROKERS", "localhost:9092"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect()
        };
        assert!(load(&SERVICE, &env("development"), Stores::read).await.is_ok());
        let problems = load(&SERVICE, &env("production"), Stores::read).await.unwrap_err().to_string();
        for name in ["SERVICE_SHARED_SECRET", "DATABASE_URL: its password"] {
            assert!(problems.contains(name), "{problems}");
        }
        assert!(!problems.contains("a-secret-for-tests-only"), "{problems}");
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
