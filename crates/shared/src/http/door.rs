//! A listener that closes without turning anybody away.

use std::{collections::VecDeque, io, net::SocketAddr};

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Takes connections until it is told to close, and then those that wait already: to its client a connection is open as
/// soon as the system has queued it, and the system resets whatever is in the queue of a listener that goes.
#[derive(Debug)]
pub(super) struct Door {
    listener: Option<TcpListener>,
    waiting: VecDeque<(TcpStream, SocketAddr)>,
    closing: CancellationToken,
    closed: CancellationToken,
}

impl Door {
    /// A door that closes on `closing`. The second part is cancelled when the last connection has been handed out.
    pub(super) fn new(listener: TcpListener, closing: CancellationToken) -> (Self, CancellationToken) {
        let closed = CancellationToken::new();
        (Self { listener: Some(listener), waiting: VecDeque::new(), closing, closed: closed.clone() }, closed)
    }
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                taken = Listener::accept(listener) => return taken,
                () = self.closing.cancelled() => {}
            }
        }
        if let Some(listener) = self.listener.take()
            && let Err(error) = take_all(listener, &mut self.waiting)
        {
            tracing::warn!(error = %error, "connections that waited to be taken were lost");
        }
        if let Some(taken) = self.waiting.pop_front() {
            return taken;
        }
        self.closed.cancel();
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }
}

/// Moves what the system has queued for `listener`, which is closed after it.
fn take_all(listener: TcpListener, waiting: &mut VecDeque<(TcpStream, SocketAddr)>) -> io::Result<()> {
    // Tokio's own accept asks the system only where the reactor has heard of a connection, which may be a moment late.
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, address)) => {
                stream.set_nonblocking(true)?;
                waiting.push_back((TcpStream::from_std(stream)?, address));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // The client has gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}
