//! One connection: TCP or a Unix socket, and the TLS handshake where there is one.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tower::{BoxError, Service};

use super::endpoint::{Endpoint, bare};
use super::tls::Tls;
use crate::authorizer::Boxed;
use crate::error::Error;

/// Bytes both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Makes connections to one endpoint.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    tls: Option<(Tls, ServerName<'static>)>,
    timeout: Duration,
}

impl Connector {
    /// # Errors
    /// When the certificates cannot be read, or are for an endpoint without TLS.
    pub(super) fn new(endpoint: &Endpoint, tls: Tls, timeout: Duration) -> Result<Self, Error> {
        let tls = match endpoint {
            Endpoint::Tcp { host, tls: true, .. } => {
                let name = tls.server_name().unwrap_or_else(|| bare(host)).to_owned();
                let name = ServerName::try_from(name).map_err(|_| {
                    Error::Credentials("the sidecar's name is not one that a certificate can have".to_owned())
                })?;
                tls.config()?;
                Some((tls, name))
            }
            _ if tls.is_set() => {
                return Err(Error::Credentials("certificates are for an https endpoint".to_owned()));
            }
            _ => None,
        };
        Ok(Self(Arc::new(Inner { endpoint: endpoint.clone(), tls, timeout })))
    }

    /// A connection, to see that there is one to be had.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Io>> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        tokio::time::timeout(self.0.timeout, self.0.connect()).await.map_err(late)?
    }
}

impl Inner {
    async fn connect(&self) -> io::Result<Box<dyn Io>> {
        match &self.endpoint {
            Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Endpoint::Tcp { host, port, .. } => {
                let stream = TcpStream::connect((bare(host), *port)).await?;
                // A question is one small write that somebody waits for.
                stream.set_nodelay(true)?;
                let Some((tls, name)) = &self.tls else { return Ok(Box::new(stream)) };
                let config = config(tls.clone()).await?;
                let connector = tokio_rustls::TlsConnector::from(config);
                Ok(Box::new(connector.connect(name.clone(), stream).await?))
            }
        }
    }
}

/// What the handshake uses. A file system that hangs holds up this connection and nothing else of the runtime.
async fn config(tls: Tls) -> io::Result<Arc<rustls::ClientConfig>> {
    let read = tokio::task::spawn_blocking(move || tls.config()).await;
    read.map_err(io::Error::other)?.map_err(io::Error::other)
}

impl Service<http::Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = BoxError;
    type Future = Boxed<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(TokioIo::new(connector.connect().await?)) })
    }
}
