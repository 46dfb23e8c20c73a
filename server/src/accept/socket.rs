//! The bytes of an accepted connection, TCP or Unix, and who is at the other end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Who is at the other end of a connection. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer(Arc<PeerKind>);

/// How a peer is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum PeerKind {
    /// Not known.
    #[default]
    Unknown,
    /// By its address.
    Tcp(SocketAddr),
    /// By what it has shown: the name in its certificate, the name of its token.
    Known {
        /// Where from.
        address: SocketAddr,
        /// The name, with its kind.
        name: String,
    },
    /// By its credentials at the time it connected; the process id is a hint.
    Unix {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Process, when the system tells it.
        pid: Option<i32>,
    },
}

impl Peer {
    pub(crate) fn new(kind: PeerKind) -> Self {
        Self(Arc::new(kind))
    }

    /// The same peer, known by one name more. What the system says of the peer of a Unix socket is worth more than any.
    pub(crate) fn known_as(&self, name: &str) -> Self {
        match self.kind() {
            PeerKind::Tcp(address) => Self::new(PeerKind::Known { address: *address, name: name.to_owned() }),
            PeerKind::Known { address, name: first } => {
                Self::new(PeerKind::Known { address: *address, name: format!("{first} {name}") })
            }
            PeerKind::Unknown | PeerKind::Unix { .. } => self.clone(),
        }
    }

    /// How it is known.
    pub(crate) fn kind(&self) -> &PeerKind {
        &self.0
    }
}

impl Default for Peer {
    fn default() -> Self {
        Self::new(PeerKind::Unknown)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            PeerKind::Unknown => f.write_str("unknown"),
            PeerKind::Tcp(address) => write!(f, "{address}"),
            PeerKind::Known { address, name } => write!(f, "{address} {name}"),
            PeerKind::Unix { uid, gid, pid: Some(pid) } => write!(f, "uid {uid} gid {gid} pid {pid}"),
            PeerKind::Unix { uid, gid, pid: None } => write!(f, "uid {uid} gid {gid}"),
        }
    }
}

/// A connection between two runtimes.
#[derive(Debug)]
pub(crate) enum Detached {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Detached {
    /// Hands the connection to the runtime that calls this.
    pub(crate) fn attach(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }
}

/// The bytes of a connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Who is at the other end.
    pub(crate) fn peer(&self) -> Peer {
        let kind = match self {
            Self::Tcp(stream) => stream.peer_addr().map(PeerKind::Tcp),
            Self::Unix(stream) => stream.peer_cred().map(|credentials| PeerKind::Unix {
                uid: credentials.uid(),
                gid: credentials.gid(),
                pid: credentials.pid(),
            }),
        };
        Peer::new(kind.unwrap_or_default())
    }

    /// Takes the connection away from its runtime.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp(stream) => Detached::Tcp(stream.into_std()?),
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
        })
    }

    /// Waits until the peer has sent something, and leaves it unread.
    pub(crate) async fn first_byte(&self) -> io::Result<()> {
        loop {
            // Readiness is a hint and may be wrong; only a look at the bytes tells.
            let looked = match self {
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || peek(stream))
                }
                Self::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || peek(stream))
                }
            };
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
            }
        }
    }
}

fn peek(socket: &impl AsFd) -> io::Result<usize> {
    let (_, length) = rustix::net::recv(socket, &mut [0_u8; 1][..], RecvFlags::PEEK)?;
    Ok(length)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
