//! A Kafka-compatible broker inside this process, for one machine and for tests; production runs
//! Apache Kafka. Tansu speaks the protocol and keeps topics and committed offsets in SQLite; records
//! are kept in plain logs, and the members of consumer groups in memory.
//!
//! Both read and write files without yielding, so the broker has threads of its own.

mod catalog;
mod fetch;
mod group;
mod groups;
mod log;
mod offsets;
mod partitions;
mod produce;
mod routes;
mod sequence;
mod server;
mod topics;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use server::Storage;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::data::DataDir;
use crate::net::Port;
use crate::signals::Signals;
use crate::ui;

/// The broker's name in messages.
const SERVER: &str = "the Kafka broker";
const WORKERS: usize = 2;

/// A running broker. Dropping it stops it.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

/// Runs the broker of `data` alone, until this process is asked to end.
///
/// # Errors
/// As [`Broker::start`], and where the broker fails.
pub async fn serve(data: &Path, port: u16) -> Result<()> {
    let mut signals = Signals::catch()?;
    let data = DataDir::open(data)?;
    let broker = Broker::start(&data, Port::Fixed { number: port, variable: "--port" }).await?;
    ui::say(format_args!(
        "The broker listens on {}; its data is in {}",
        broker.bootstrap_servers(),
        data.path().display()
    ));
    let request = signals.next().await;
    ui::say(format_args!("{request}: stopping"));
    broker.stop().await
}

impl Broker {
    /// Starts the broker of `data` and returns when clients can connect.
    ///
    /// # Errors
    /// One sentence saying what to do: port in use, data that cannot be opened.
    pub async fn start(data: &DataDir, port: Port) -> Result<Self> {
        let storage = storage(data.path())?;
        let listener = port.listen(SERVER).await?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shutdown = CancellationToken::new();
        let (ready, started) = oneshot::channel();
        let thread = {
            let shutdown = shutdown.clone();
            thread::Builder::new().name("broker".into()).spawn(move || run(listener, storage, shutdown, ready))?
        };
        let broker = Self { address, shutdown, thread: Some(thread) };
        match started.await {
            Ok(()) => Ok(broker),
            Err(_ended_before) => {
                broker.stop().await?;
                bail!("the Kafka broker ended while it started")
            }
        }
    }

    /// What clients take as `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        self.address.to_string()
    }

    /// Stops the broker: every acknowledged record is on disk already.
    ///
    /// # Errors
    /// When it had failed before.
    pub async fn stop(mut self) -> Result<()> {
        self.shutdown.cancel();
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
        joined.map_err(|_panic| anyhow!("the Kafka broker panicked"))?
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            // Its outcome has no reader here; `stop` reports it.
            drop(thread.join());
        }
    }
}

fn run(listener: TcpListener, storage: Storage, shutdown: CancellationToken, ready: oneshot::Sender<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("broker")
        .enable_all()
        .build()?;
    runtime.block_on(server::serve(listener, storage, shutdown, ready))
}

fn storage(data: &Path) -> Result<Storage> {
    let directory = data.join("broker");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let file = directory.join("broker.db");
    Ok(Storage { database: database_url(&file)?, file, records: directory.join("records") })
}

/// Tansu takes the path of a `sqlite:` URL as it is written, relative to the working directory
/// (a second leading slash makes it absolute), and does not undo percent-encoding.
fn database_url(file: &Path) -> Result<Url> {
    let working_directory = std::env::current_dir()?;
    let path = file.strip_prefix(&working_directory).unwrap_or(file);
    let path = path.to_str().context("the data directory's path is not UTF-8")?;
    let url = Url::parse(&format!("sqlite:///{path}"))?;
    if url.path().strip_prefix('/') != Some(path) {
        bail!("the broker cannot use {}: choose a directory of plain letters and digits with --data", file.display());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_outside_the_working_directory_has_an_absolute_path() {
        assert_eq!(database_url(Path::new("/elsewhere/broker.db")).unwrap().path(), "//elsewhere/broker.db");
    }

    #[test]
    fn file_whose_name_a_url_would_change_is_refused() {
        let error = database_url(Path::new("/my data/broker.db")).unwrap_err().to_string();
        assert!(error.contains("/my data/broker.db") && error.contains("--data"), "{error}");
    }
}
