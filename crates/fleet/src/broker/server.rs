//! The broker's connections: each is served until its client leaves or the broker stops.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rama::{Context, Service};
use tansu_storage::{BrokerRegistrationRequest, Storage as _, StorageContainer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::catalog::Catalog;
use super::routes;
use super::topics::Topics;

const CLUSTER: &str = "careeros-local";
const NODE: i32 = 1;
/// Until the next try when the system has no more connections to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the broker keeps what.
#[derive(Debug)]
pub(super) struct Storage {
    /// Tansu's, for topics, groups and producers, as Tansu wants it named.
    pub(super) database: Url,
    /// The same database's file.
    pub(super) file: PathBuf,
    /// The directory of the partitions' logs.
    pub(super) records: PathBuf,
}

/// Serves clients until `shutdown`.
pub(super) async fn serve(
    listener: TcpListener,
    storage: Storage,
    shutdown: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let tansu = open(storage.database, listener.local_addr()?).await?;
    let catalog = Catalog::open(&storage.file, CLUSTER).await?;
    let topics = Topics::open(tansu.clone(), catalog, storage.records)?;
    let service = routes::service(CLUSTER, &tansu, &topics)?;
    let mut connections = JoinSet::new();
    if ready.send(()).is_err() {
        return Ok(());
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, service.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the Kafka broker cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection of the Kafka broker failed");
                }
            }
        }
    }
    connections.shutdown().await;
    Ok(())
}

async fn open(storage: Url, address: SocketAddr) -> Result<StorageContainer> {
    let storage = StorageContainer::builder()
        .cluster_id(CLUSTER)
        .node_id(NODE)
        .advertised_listener(Url::parse(&format!("tcp://{address}"))?)
        .storage(storage)
        .silent(true)
        .build()
        .await
        .context("cannot open the Kafka broker's storage")?;
    let registration = BrokerRegistrationRequest {
        broker_id: NODE,
        cluster_id: CLUSTER.to_owned(),
        incarnation_id: Uuid::nil(),
        rack: None,
    };
    storage.register_broker(registration).await.context("cannot register the Kafka broker")?;
    Ok(storage)
}

async fn connection(
    stream: TcpStream,
    service: impl Service<(), TcpStream, Response = (), Error = tansu_broker::Error>,
) {
    let served = match stream.set_nodelay(true) {
        Ok(()) => service.serve(Context::default(), stream).await,
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(()) => {}
        Err(tansu_broker::Error::Io(error)) if is_disconnect(error.kind()) => {}
        Err(error) => tracing::error!(%error, "the Kafka broker gave up a connection"),
    }
}

fn is_disconnect(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
