//! Listeners and the accept loop: how many connections, from which socket, to which worker.
//!
//! One loop for each listener hands every connection to the worker that has fewest. Sockets that share a port
//! (SO_REUSEPORT) would spare the hand-over, but the system deals by address and leaves workers idle when clients are
//! few, and another process could take a share. Invariant (NO-SPIN): an accept error slows the loop down instead of
//! spinning or ending it.

mod socket;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use socket::{Detached, Peer, PeerKind, Socket};
use unix::SocketFile;

use crate::config::Config;
use crate::credentials::{Credentials, CredentialsError};
use crate::worker::Door;

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken or not ours.
    #[error("cannot listen on `{address}`: {error}")]
    Tcp {
        /// As configured.
        address: SocketAddr,
        /// The system's word.
        error: io::Error,
    },
    /// Another process answers on the socket.
    #[error("another process is listening on `{}`", path.display())]
    InUse {
        /// As configured.
        path: PathBuf,
    },
    /// Something that is not a socket stands at the path.
    #[error("`{}` exists and is not a socket", path.display())]
    NotASocket {
        /// As configured.
        path: PathBuf,
    },
    /// Anyone could replace the socket.
    #[error(
        "the directory of `{}` is writable by everyone: take that away, or set `uds_access` to `all` where only callers \
         reach it",
        path.display()
    )]
    OpenDirectory {
        /// As configured.
        path: PathBuf,
    },
    /// What the listener or its callers prove themselves with cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Any other failure with a Unix socket.
    #[error("cannot listen on `{}`: {error}", path.display())]
    Unix {
        /// As configured.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
}

/// Bound listeners, not accepting yet.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) grpc: Vec<Listener>,
    pub(crate) http: Option<TcpListener>,
    pub(crate) credentials: Credentials,
}

/// Whose processes may connect to a Unix socket. Everybody's when nobody is named.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowedPeers {
    pub(crate) uids: Vec<u32>,
    pub(crate) gids: Vec<u32>,
}

impl AllowedPeers {
    fn admit(&self, peer: &Peer) -> bool {
        match peer.kind() {
            _ if self.uids.is_empty() && self.gids.is_empty() => true,
            PeerKind::Unix { uid, gid, pid: _ } => self.uids.contains(uid) || self.gids.contains(gid),
            // Whoever cannot be asked is not let in.
            PeerKind::Unknown | PeerKind::Tcp(_) | PeerKind::Known { .. } => false,
        }
    }
}

/// One bound gRPC listener.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(SocketFile, AllowedPeers),
}

impl Listeners {
    /// Reads the credentials and binds everything that the configuration names.
    ///
    /// # Errors
    /// With everything that is wrong with the credentials, before anything is bound; at the first listener that cannot
    /// be bound.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        let credentials = Credentials::load(config)?;
        let mut grpc = Vec::new();
        if let Some(address) = config.listen_address() {
            grpc.push(Listener::Tcp(bind_tcp(address).await?));
        }
        if let Some(path) = &config.uds {
            grpc.push(Listener::Unix(
                SocketFile::bind(path, config.uds_access).await?,
                config.allowed_peers(),
            ));
        }
        let http = match config.http_listen_address() {
            Some(address) => Some(bind_tcp(address).await?),
            None => None,
        };
        Ok(Self { grpc, http, credentials })
    }

    /// Where gRPC listens over TCP, with the true port.
    #[must_use]
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.iter().find_map(|listener| match listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        })
    }

    /// Where gRPC listens over a Unix socket.
    #[must_use]
    pub fn grpc_socket(&self) -> Option<PathBuf> {
        self.grpc.iter().find_map(|listener| match listener {
            Listener::Tcp(_) => None,
            Listener::Unix(file, _) => Some(file.path().to_owned()),
        })
    }

    /// Where HTTP listens, with the true port.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|listener| listener.local_addr().ok())
    }
}

async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError::Tcp { address, error })
}

const ERROR_WAIT_MIN: Duration = Duration::from_millis(50);
const ERROR_WAIT_MAX: Duration = Duration::from_secs(1);

/// Accepts until `draining`, never serving more at a time than `connections` has permits.
pub(crate) async fn accept_loop(
    listener: &Listener,
    connections: &Arc<Semaphore>,
    door: &Door,
    draining: &CancellationToken,
) {
    // All that a cancellation loses is a connection that waits for a place, as those in the system's queue do.
    draining.run_until_cancelled(accept_forever(listener, connections, door)).await;
}

async fn accept_forever(listener: &Listener, connections: &Arc<Semaphore>, door: &Door) {
    let mut error_wait = ERROR_WAIT_MIN;
    loop {
        match accept(listener).await {
            Ok(Some(socket)) => {
                error_wait = ERROR_WAIT_MIN;
                // One connection of each listener waits here for a place; the others wait in the system's queue.
                let Some(permit) = place(connections, door).await else { return };
                door.hand_over(socket, permit);
            }
            Ok(None) => door.tally().connections.foreign.add(),
            Err(error) => {
                tracing::warn!(%error, wait_ms = error_wait.as_millis(), "cannot accept a connection");
                door.tally().connections.accept_errors.add();
                tokio::time::sleep(error_wait).await;
                error_wait = (error_wait * 2).min(ERROR_WAIT_MAX);
            }
        }
    }
}

/// How often those who say nothing are looked for while somebody waits for a place.
const CROWDED_WAIT: Duration = Duration::from_millis(50);

/// A place for one more connection, as soon as there is one; those who say nothing make room. None at the end.
async fn place(connections: &Arc<Semaphore>, door: &Door) -> Option<OwnedSemaphorePermit> {
    let mut place = pin!(Arc::clone(connections).acquire_owned());
    loop {
        match timeout(CROWDED_WAIT, &mut place).await {
            Ok(permit) => return permit.ok(),
            Err(_) => door.close_silent(),
        }
    }
}

/// The next connection; none for one that is not let in, and is closed already.
async fn accept(listener: &Listener) -> io::Result<Option<Detached>> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Socket::Tcp(stream).detach().map(Some)
        }
        Listener::Unix(file, allowed) => {
            let socket = Socket::Unix(file.listener().accept().await?.0);
            let peer = socket.peer();
            if !allowed.admit(&peer) {
                return Ok(None);
            }
            socket.detach().map(Some)
        }
    }
}
