//! What each process finds in its environment: ports of its own, its database, and where the others are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, TcpListener},
};

use anyhow::{Context as _, Result};
use careeros_fleet::{databases::Database, net::Port, services};
use secrecy::ExposeSecret as _;

/// What one process is started with.
pub(crate) type Variables = BTreeMap<&'static str, String>;

/// Ports that stay free while whoever uses them is not running: the system gives them to nobody by itself.
#[derive(Default)]
pub(super) struct Ports {
    taken: BTreeSet<u16>,
}

impl Ports {
    /// One that nobody has.
    pub(super) fn next(&mut self) -> Result<u16> {
        /// Below the range that Linux, macOS and most others take the ports of outgoing connections from.
        const KNOWN: u16 = 32_768;
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let end = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(KNOWN);
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
        let free = (0..1000).map(|_| rand::random_range(10_240..end)).filter(|port| !self.taken.contains(port));
        let port = free.into_iter().find(is_free).context("no port is free")?;
        self.taken.insert(port);
        Ok(port)
    }

    /// The same, as the fleet's servers take it.
    pub(super) fn fixed(&mut self) -> Result<Port> {
        Ok(Port::Fixed { number: self.next()?, variable: "the benchmark's port" })
    }
}

/// The environments of [`services::ALL`], with `common` in each.
pub(super) fn environments(databases: &[Database], common: Variables, ports: &mut Ports) -> Result<Vec<Variables>> {
    let mut common = common;
    let mut own_ports = Vec::new();
    for entry in &services::ALL {
        let (http, grpc) = (ports.next()?.to_string(), ports.next()?.to_string());
        if let Some(rpc) = entry.rpc {
            common.insert(rpc.url_variable, format!("127.0.0.1:{grpc}"));
        }
        own_ports.push((http, grpc));
    }
    let mut environments = Vec::new();
    for (entry, (http, grpc)) in services::ALL.iter().zip(own_ports) {
        let mut own = common.clone();
        own.insert("HTTP_PORT", http);
        own.insert("GRPC_PORT", grpc);
        if let Some(kept) = entry.database {
            let database = databases.iter().find(|database| database.name == kept.name);
            let database = database.with_context(|| format!("{} has no database", entry.service.name))?;
            own.insert("DATABASE_URL", database.service_url.expose_secret().to_owned());
        }
        environments.push(own);
    }
    Ok(environments)
}
