//! The nine services: what each is called, where it listens, which database is its own.

use std::{future::Future, pin::Pin};

use careeros_shared::{boot::Boot, config::Service};
use sqlx::migrate::Migrator;

use crate::net::Port;

/// How a service is run; the same function that its own `main` calls.
type Run = fn(Boot) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// One of the nine.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name and default ports.
    pub service: &'static Service,
    /// Runs it until its shutdown.
    pub run: Run,
    /// The variable that moves its HTTP port.
    pub http_variable: &'static str,
    /// Its RPCs; the gateway has none.
    pub rpc: Option<Rpc>,
    /// Its database; the gateway has none.
    pub database: Option<Database>,
}

/// Where a service answers RPCs.
#[derive(Debug, Clone, Copy)]
pub struct Rpc {
    /// The variable that moves the port.
    pub port_variable: &'static str,
    /// The variable by which its clients find it.
    pub url_variable: &'static str,
}

/// What a service keeps.
#[derive(Debug, Clone, Copy)]
pub struct Database {
    /// Its name, one of [`crate::databases::NAMES`].
    pub name: &'static str,
    /// The variable that names one that exists already.
    pub url_variable: &'static str,
    /// Its tables.
    pub migrations: &'static Migrator,
}

impl Entry {
    /// The port of REST, health and metrics.
    pub fn http_port(&self) -> Port {
        Port::Fixed { number: self.service.http_port, variable: self.http_variable }
    }
}

macro_rules! entry {
    ($crate_name:ident, $http:literal) => {
        Entry {
            service: &$crate_name::SERVICE,
            run: |boot| Box::pin($crate_name::run(boot)),
            http_variable: $http,
            rpc: None,
            database: None,
        }
    };
    ($crate_name:ident, $http:literal, $grpc:literal, $url:literal, $database:literal, $database_url:literal) => {
        Entry {
            rpc: Some(Rpc { port_variable: $grpc, url_variable: $url }),
            database: Some(Database {
                name: $database,
                url_variable: $database_url,
                migrations: &$crate_name::MIGRATIONS,
            }),
            ..entry!($crate_name, $http)
        }
    };
}

/// All of them, in the order of their ports.
pub static ALL: [Entry; 9] = [
    entry!(careeros_gateway, "GATEWAY_HTTP_PORT"),
    entry!(careeros_auth, "AUTH_HTTP_PORT", "AUTH_GRPC_PORT", "AUTH_GRPC_URL", "auth", "AUTH_DATABASE_URL"),
    entry!(
        careeros_profile,
        "USER_PROFILE_HTTP_PORT",
        "USER_PROFILE_GRPC_PORT",
        "USER_PROFILE_GRPC_URL",
        "user_profile",
        "USER_PROFILE_DATABASE_URL"
    ),
    entry!(
        careeros_ai_core,
        "AI_CORE_HTTP_PORT",
        "AI_CORE_GRPC_PORT",
        "AI_CORE_GRPC_URL",
        "ai_core",
        "AI_CORE_DATABASE_URL"
    ),
    entry!(
        careeros_roadmap,
        "ROADMAP_HTTP_PORT",
        "ROADMAP_GRPC_PORT",
        "ROADMAP_GRPC_URL",
        "roadmap",
        "ROADMAP_DATABASE_URL"
    ),
    entry!(careeros_lms, "LMS_HTTP_PORT", "LMS_GRPC_PORT", "LMS_GRPC_URL", "lms", "LMS_DATABASE_URL"),
    entry!(
        careeros_edu_tracker,
        "EDU_TRACKER_HTTP_PORT",
        "EDU_TRACKER_GRPC_PORT",
        "EDU_TRACKER_GRPC_URL",
        "edu_tracker",
        "EDU_TRACKER_DATABASE_URL"
    ),
    entry!(
        careeros_billing,
        "BILLING_HTTP_PORT",
        "BILLING_GRPC_PORT",
        "BILLING_GRPC_URL",
        "billing",
        "BILLING_DATABASE_URL"
    ),
    entry!(
        careeros_analytics,
        "ANALYTICS_HTTP_PORT",
        "ANALYTICS_GRPC_PORT",
        "ANALYTICS_GRPC_URL",
        "analytics",
        "ANALYTICS_DATABASE_URL"
    ),
];
