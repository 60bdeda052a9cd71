//! What each process finds in its environment: ports of its own, its database, and where the others are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, TcpListener},
};

use careeros_fleet::{
    databases::Database,
    net::Port,
    services::{self, Entry},
};
use secrecy::ExposeSecret as _;

/// What one process is started with.
pub(crate) type Variables = BTreeMap<&'static str, String>;

/// Ports that stay free while whoever uses them is dead: the system gives them to nobody by itself.
#[derive(Default)]
pub(super) struct Ports {
    taken: BTreeSet<u16>,
}

impl Ports {
    /// One that nobody has.
    pub(super) fn next(&mut self) -> u16 {
        /// Below the range that Linux, macOS and most others take the ports of outgoing connections from.
        const KNOWN: u16 = 32_768;
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let end = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(KNOWN);
        for _ in 0..1000 {
            let port = rand::random_range(10_240..end);
            // All addresses, as the services listen.
            if !self.taken.contains(&port) && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
                self.taken.insert(port);
                return port;
            }
        }
        panic!("no port is free");
    }

    /// The same, as the fleet's servers take it.
    pub(super) fn fixed(&mut self) -> Port {
        Port::Fixed { number: self.next(), variable: "the test's port" }
    }
}

/// The environments of [`services::ALL`], with `extra` in each.
pub(super) fn environments(
    databases: &[Database],
    common: Variables,
    extra: &[(&'static str, String)],
    ports: &mut Ports,
) -> Vec<Variables> {
    let mut common = common;
    let mut own_ports = Vec::new();
    for entry in &services::ALL {
        let (http, grpc) = (ports.next().to_string(), ports.next().to_string());
        if let Some(rpc) = entry.rpc {
            common.insert(rpc.url_variable, format!("127.0.0.1:{grpc}"));
        }
        own_ports.push((http, grpc));
    }
    common.extend(extra.iter().cloned());
    let own = |(entry, (http, grpc)): (&Entry, (String, String))| {
        let mut own = common.clone();
        own.insert("HTTP_PORT", http);
        own.insert("GRPC_PORT", grpc);
        own.extend(database(entry, databases).map(|d| ("DATABASE_URL", d.service_url.expose_secret().to_owned())));
        own
    };
    services::ALL.iter().zip(own_ports).map(own).collect()
}

/// The database of a service.
pub(super) fn database<'a>(entry: &Entry, databases: &'a [Database]) -> Option<&'a Database> {
    entry.database.and_then(|kept| databases.iter().find(|database| database.name == kept.name))
}
