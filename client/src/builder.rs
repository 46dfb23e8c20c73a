//! How to reach a sidecar, how long to wait for it, and what to do without it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::cache::{Cache, Cached};
use crate::call::{Caller, NEVER, Propagate, Retries};
use crate::client::Client;
use crate::error::Error;
use crate::observer::Observer;
use crate::token::{Bearer, Token};
use crate::transport::{self, Endpoint, Keeping, Link, Pem, Route, Tls};

/// Longest wait for an answer unless told otherwise; a sidecar answers in well under a millisecond.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a connection unless told otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is asked whether it lives, and how long it may take to say so, unless told otherwise. Short
/// enough to notice a hung sidecar before people do, and far from what a sidecar takes for a flood.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Where the calls go.
#[derive(Clone)]
enum Target {
    Endpoint(String),
    Service(Route),
}

/// Settings of a [`Client`].
#[derive(Clone)]
#[must_use = "a builder connects to nothing"]
pub struct Builder {
    target: Target,
    timeout: Duration,
    keeping: Keeping,
    tls: Tls,
    token: Option<Token>,
    attempts: u32,
    in_flight: Option<usize>,
    fail_open: BTreeSet<String>,
    cache: Option<Cache>,
    observer: Option<Arc<dyn Observer>>,
    propagate: Option<Propagate>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = match &self.target {
            Target::Endpoint(endpoint) => endpoint,
            Target::Service(_) => "a service",
        };
        f.debug_struct("Builder")
            .field("endpoint", &endpoint)
            .field("timeout", &self.timeout)
            .field("token", &self.token.is_some())
            .field("fail_open", &self.fail_open)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// For a sidecar at `endpoint`: `http://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self::to(Target::Endpoint(endpoint.into()))
    }

    /// For a sidecar behind any tower service, such as a connection of the caller's own or a router in the same
    /// process. Settings of connections (TLS, keep-alive, the timeout of connecting) have no meaning then.
    pub fn over<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::to(Target::Service(transport::over(service)))
    }

    fn to(target: Target) -> Self {
        let (interval, patience) = KEEP_ALIVE;
        Self {
            target,
            timeout: TIMEOUT,
            keeping: Keeping { connect_timeout: CONNECT_TIMEOUT, interval, patience },
            tls: Tls::default(),
            token: None,
            attempts: Retries::ATTEMPTS_MAX,
            in_flight: None,
            fail_open: BTreeSet::new(),
            cache: None,
            observer: None,
            propagate: None,
        }
    }

    /// Authorities (PEM) of which the sidecar's certificate must be. Default: those of the system. For `https` only.
    pub fn tls_ca(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.tls.authorities = Some(Pem::Text(pem.as_ref().to_vec()));
        self
    }

    /// The same from a file, which is read again for each new connection.
    pub fn tls_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authorities = Some(Pem::File(path.into()));
        self
    }

    /// The client's own certificate chain and its key (PEM), for a sidecar that asks for one. Default: none. For
    /// `https` only.
    pub fn tls_identity(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let text = |pem: &[u8]| Pem::Text(pem.to_vec());
        self.tls.identity = Some((text(certificate.as_ref()), text(key.as_ref())));
        self
    }

    /// The same from files, which are read again for each new connection. A pair that cannot be used changes nothing.
    pub fn tls_identity_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.identity = Some((Pem::File(certificate.into()), Pem::File(key.into())));
        self
    }

    /// The name that the sidecar's certificate must have. Default: the host of the endpoint. For `https` only.
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self
    }

    /// A bearer token that goes with every call. Over the network it needs `https`: it is refused for `http` to another
    /// host than this. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::Fixed(token.into()));
        self
    }

    /// The same from a file with one word, which is read again every few seconds while it is used.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token = Some(Token::File(path.into()));
        self
    }

    /// Longest wait for one answer, connecting again and every attempt included. Default 2 s; see
    /// [`Request::timeout`](crate::Request::timeout) for a single question.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Longest wait for a connection. Default 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.keeping.connect_timeout = timeout;
        self
    }

    /// How often a connection is asked whether it lives, also while no call is under way, and how long it may take to
    /// say so before it is given up. Default every 10 s, 5 s.
    pub fn keep_alive(mut self, interval: Duration, patience: Duration) -> Self {
        self.keeping.interval = interval.min(NEVER);
        self.keeping.patience = patience.min(NEVER);
        self
    }

    /// How often one question is sent at most. Default 4. It is sent again only when the sidecar says that it cannot
    /// answer now (UNAVAILABLE) or its connection is gone, after a short random pause, within its timeout, and while
    /// retries are few beside answered questions.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Questions under way at once; others wait, and their waiting counts against their timeout. Default: no limit.
    pub fn in_flight(mut self, questions: usize) -> Self {
        self.in_flight = Some(questions);
        self
    }

    /// Actions that are let through when there is no decision because the sidecar is away, late or busy. Each is written
    /// in full (`vendor:Name`, in any case). Such an allow has the reason [`Reason::FailOpen`](crate::Reason::FailOpen),
    /// is logged as an error and told to the observer. A decision that the sidecar must not tell without a record
    /// (`on_audit_failure = "deny"`) is not let through. Default: none.
    pub fn fail_open<T: Into<String>>(mut self, actions: impl IntoIterator<Item = T>) -> Self {
        self.fail_open.extend(actions.into_iter().map(|action| action.into().to_ascii_lowercase()));
        self
    }

    /// Keeps decisions. Default: none is kept. See [`Cache`] for what that means.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Tells what happens to whoever counts it.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Adds headers to every call, such as `traceparent` of the W3C's trace context. With OpenTelemetry:
    /// `|headers| propagator.inject_context(&Context::current(), &mut HeaderInjector(headers))`.
    pub fn propagate(mut self, add: impl Fn(&mut HeaderMap) + Send + Sync + 'static) -> Self {
        self.propagate = Some(Arc::new(add));
        self
    }

    /// Connects now.
    ///
    /// # Errors
    /// When the endpoint is not one, what the client is to prove itself with cannot be used, or nobody listens there.
    pub async fn connect(self) -> Result<Client, Error> {
        let (way, bearer) = self.way()?;
        let route = match way {
            Way::Service(route) => route,
            Way::Link(link) => link.now().await?,
        };
        self.build(route, bearer)
    }

    /// Connects with the first question.
    ///
    /// # Errors
    /// When the endpoint is not one, or what the client is to prove itself with cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let (way, bearer) = self.way()?;
        let route = match way {
            Way::Service(route) => route,
            Way::Link(link) => link.lazy(),
        };
        self.build(route, bearer)
    }

    fn way(&self) -> Result<(Way, Option<Bearer>), Error> {
        let bearer = self.token.as_ref().map(Bearer::new).transpose()?;
        let text = match &self.target {
            Target::Service(route) => return Ok((Way::Service(route.clone()), bearer)),
            Target::Endpoint(text) => text,
        };
        let endpoint = Endpoint::parse(text)?;
        if bearer.is_some() && !endpoint.is_tls() && !endpoint.is_here() {
            let text = "a token would go over the network in plain text; use https";
            return Err(Error::Credentials(text.to_owned()));
        }
        Ok((Way::Link(Box::new(Link::new(&endpoint, self.tls.clone(), self.keeping)?)), bearer))
    }

    fn build(self, route: Route, bearer: Option<Bearer>) -> Result<Client, Error> {
        let caller = Caller {
            route,
            bearer,
            propagate: self.propagate,
            observer: self.observer,
            retries: Retries::new(self.attempts)?,
            places: self
                .in_flight
                .map(|questions| Arc::new(Semaphore::new(questions.clamp(1, Semaphore::MAX_PERMITS)))),
        };
        let cache = self.cache.map(|cache| Cached::start(cache, caller.clone()));
        Ok(Client::new(caller, self.timeout, self.fail_open, cache))
    }
}

/// How calls get there.
enum Way {
    Service(Route),
    Link(Box<Link>),
}

#[cfg(test)]
mod tests;
