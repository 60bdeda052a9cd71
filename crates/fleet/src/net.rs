//! Ports of this machine: taking one, and saying in one sentence who has it when it is taken.

mod holder;

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use holder::Holder;

/// A process that is just ending keeps its port for a moment; a quick restart waits this long for it.
const GRACE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// Where a server is to listen, always on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A known port.
    Fixed {
        /// The port's number.
        number: u16,
        /// The environment variable that changes it, named when the port is taken.
        variable: &'static str,
    },
    /// Any port that is free.
    Any,
}

/// A fixed port that another process has.
#[derive(Debug)]
pub struct PortInUse {
    /// The server that wanted the port, e.g. `PostgreSQL`.
    pub server: &'static str,
    /// The port's number.
    pub number: u16,
    /// The environment variable that moves the server to another port.
    pub variable: &'static str,
    /// The process that has it, where `/proc` tells.
    pub holder: Option<Holder>,
}

impl fmt::Display for PortInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, number, variable, holder } = self;
        write!(f, "port {number} for {server} is in use")?;
        if let Some(holder) = holder {
            write!(f, " by {holder}")?;
        }
        write!(f, ": stop that process or set {variable} to a free port")
    }
}

impl std::error::Error for PortInUse {}

impl Port {
    /// Listens on this port for `server`, waiting a few seconds for a process that is just ending.
    ///
    /// # Errors
    /// [`PortInUse`] when another process keeps the port.
    pub async fn listen(self, server: &'static str) -> Result<TcpListener> {
        let deadline = Instant::now() + GRACE;
        loop {
            match self.try_listen() {
                Ok(listener) => return Ok(listener),
                Err(error) if error.kind() != ErrorKind::AddrInUse => {
                    return Err(error).with_context(|| format!("{server} cannot listen on 127.0.0.1"));
                }
                Err(_) if Instant::now() < deadline => tokio::time::sleep(RETRY).await,
                Err(_) => bail!(self.in_use(server)),
            }
        }
    }

    /// Finds the number for a server that binds the port itself, waiting as [`Port::listen`] does.
    ///
    /// # Errors
    /// [`PortInUse`] when another process keeps the port.
    pub async fn number(self, server: &'static str) -> Result<u16> {
        let listener = self.listen(server).await?;
        Ok(listener.local_addr()?.port())
    }

    fn try_listen(self) -> std::io::Result<TcpListener> {
        let number = match self {
            Self::Fixed { number, .. } => number,
            Self::Any => 0,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
        // Some systems let a second server take 127.0.0.1 beside one that listens on every address;
        // asking first keeps clients from reaching the wrong one.
        if number != 0 && TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok() {
            return Err(ErrorKind::AddrInUse.into());
        }
        TcpListener::bind(address)
    }

    fn in_use(self, server: &'static str) -> PortInUse {
        match self {
            Self::Fixed { number, variable } => PortInUse { server, number, variable, holder: Holder::of_port(number) },
            Self::Any => PortInUse { server, number: 0, variable: "nothing", holder: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_port_message_names_port_holder_and_variable() {
        let error = PortInUse {
            server: "PostgreSQL",
            number: 54329,
            variable: "CAREEROS_POSTGRES_PORT",
            holder: Some(Holder { pid: 42, name: "nginx".into() }),
        };
        assert_eq!(
            error.to_string(),
            "port 54329 for PostgreSQL is in use by nginx (process 42): \
             stop that process or set CAREEROS_POSTGRES_PORT to a free port"
        );
    }

    #[test]
    fn fixed_port_is_refused_while_another_socket_listens_on_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = taken.local_addr().unwrap().port();
        let port = Port::Fixed { number, variable: "X" };
        assert_eq!(port.try_listen().unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(taken);
        port.try_listen().expect("free again");
    }
}
