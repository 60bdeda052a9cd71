//! What stands before the instances of a service, as a Kubernetes Service does: it hands each new connection to one of
//! them and knows nothing of requests. Connections that are there stay where they are.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// Balances the connections of one service.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    instances: Mutex<Vec<SocketAddr>>,
    handed: AtomicUsize,
    refused: AtomicUsize,
}

impl Balancer {
    /// A balancer that has no instances yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(run(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, task }
    }

    pub(crate) fn add(&self, instance: SocketAddr) {
        self.shared.instances.lock().unwrap().push(instance);
    }

    pub(crate) fn remove(&self, instance: SocketAddr) {
        self.shared.instances.lock().unwrap().retain(|other| *other != instance);
    }

    /// Connections that an instance did not take although it was handed them, since this was asked last.
    pub(crate) fn take_refused(&self) -> usize {
        self.shared.refused.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let turn = shared.handed.fetch_add(1, Ordering::Relaxed);
            let instance = {
                let instances = shared.instances.lock().unwrap();
                instances.get(turn % instances.len().max(1)).copied()
            };
            let Some(instance) = instance else { return };
            match TcpStream::connect(instance).await {
                Ok(mut server) => {
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    // However it ends, both sides have seen it.
                    let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
                Err(_refused) => {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}
