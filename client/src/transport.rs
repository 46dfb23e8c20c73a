//! From an endpoint to a service that takes gRPC calls: a lazy HTTP/2 connection that is made again when it is gone.
//!
//! Knows nothing of questions. Invariant: a token and certificates go only where they cannot be read on the way.

mod connect;
mod endpoint;
mod tls;

use std::time::Duration;

use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::transport::Endpoint as Settings;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt as _};

use crate::error::Error;
use connect::Connector;
pub(crate) use endpoint::Endpoint;
pub(crate) use tls::{Pem, Tls};

/// Whatever takes a gRPC call.
pub(crate) type Route = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Failure>;

/// Why a call did not get there or an answer did not come back. Its causes tell more.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(#[source] BoxError);

/// How a connection is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    pub(crate) connect_timeout: Duration,
    /// How often a connection is asked whether it lives, also while no call is under way.
    pub(crate) interval: Duration,
    /// How long it may take to say so.
    pub(crate) patience: Duration,
}

/// A service of somebody else as a route.
pub(crate) fn over<S, B>(service: S) -> Route
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let boxed = |response: http::Response<B>| response.map(|body| Body::new(body.map_err(Into::into)));
    BoxCloneSyncService::new(service.map_response(boxed).map_err(|error| Failure(error.into())))
}

/// The way to an endpoint, before anything is sent.
pub(crate) struct Link {
    settings: Settings,
    connector: Connector,
}

impl Link {
    /// # Errors
    /// When the certificates cannot be read.
    pub(crate) fn new(endpoint: &Endpoint, tls: Tls, keeping: Keeping) -> Result<Self, Error> {
        let connector = Connector::new(endpoint, tls, keeping.connect_timeout)?;
        let settings = Settings::from(endpoint.origin())
            .origin(endpoint.origin_of_calls())
            .user_agent(concat!("portcullis-client/", env!("CARGO_PKG_VERSION")))
            .map_err(|_| Error::Endpoint(endpoint.to_string()))?
            .http2_keep_alive_interval(keeping.interval)
            .keep_alive_timeout(keeping.patience)
            .keep_alive_while_idle(true);
        Ok(Self { settings, connector })
    }

    /// Connects with the first call.
    pub(crate) fn lazy(self) -> Route {
        over(self.settings.connect_with_connector_lazy(self.connector))
    }

    /// Connects now.
    ///
    /// # Errors
    /// When there is no connection to be had.
    pub(crate) async fn now(self) -> Result<Route, Error> {
        let connected = self.settings.connect_with_connector(self.connector).await;
        connected.map(over).map_err(|error| Error::unreachable(&error))
    }
}
