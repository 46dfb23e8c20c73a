//! How to reach a sidecar and how long to wait for it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tonic::transport::Endpoint;

use crate::client::Client;
use crate::error::Error;
use crate::security::{Bearer, Tls};

/// Longest wait for an answer unless told otherwise; a sidecar answers in well under a millisecond.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a connection unless told otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of a [`Client`].
#[derive(Clone)]
pub struct Builder {
    endpoint: String,
    timeout: Duration,
    connect_timeout: Duration,
    tls: Tls,
    token: Option<String>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, timeout, connect_timeout, tls: _, token } = self;
        f.debug_struct("Builder")
            .field("endpoint", endpoint)
            .field("timeout", timeout)
            .field("connect_timeout", connect_timeout)
            .field("token", &token.is_some())
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// For a sidecar at `endpoint`: `http://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            tls: Tls::default(),
            token: None,
        }
    }

    /// Authorities (PEM) of which the sidecar's certificate must be. Default: those of the system. For `https` only.
    #[must_use]
    pub fn tls_ca(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.tls.authorities(pem.as_ref());
        self
    }

    /// The client's own certificate chain and its key (PEM), for a sidecar that asks for one. Default: none. For
    /// `https` only.
    #[must_use]
    pub fn tls_identity(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.tls.identity(certificate.as_ref(), key.as_ref());
        self
    }

    /// The name that the sidecar's certificate must have. Default: the host of the endpoint. For `https` only.
    #[must_use]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name(name.into());
        self
    }

    /// A bearer token that goes with every call. Over the network it needs `https`: it is refused for `http` to another
    /// host than this. Default: none.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Longest wait for one answer, connecting again included. Default 2 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Longest wait for a connection. Default 2 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connects now.
    ///
    /// # Errors
    /// When the endpoint is not one, what the client is to prove itself with cannot be used, or nobody listens there.
    pub async fn connect(self) -> Result<Client, Error> {
        let (endpoint, bearer) = (self.endpoint()?, self.bearer()?);
        let channel = endpoint.connect().await.map_err(|error| Error::unreachable(&error))?;
        Ok(Client::over(channel, bearer, self.timeout))
    }

    /// Connects with the first question.
    ///
    /// # Errors
    /// When the endpoint is not one, or what the client is to prove itself with cannot be used.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let bearer = self.bearer()?;
        Ok(Client::over(self.endpoint()?.connect_lazy(), bearer, self.timeout))
    }

    fn bearer(&self) -> Result<Bearer, Error> {
        self.token.as_deref().map_or_else(|| Ok(Bearer::default()), Bearer::new)
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let unusable = || Error::Endpoint(self.endpoint.clone());
        let text = match self.endpoint.split_once(':') {
            Some(("http" | "https" | "unix", rest)) if !rest.is_empty() => self.endpoint.clone(),
            Some(("http" | "https" | "unix", _)) | None => return Err(unusable()),
            Some(_) => format!("http://{}", self.endpoint),
        };
        let endpoint = Endpoint::from_shared(text).map_err(|_| unusable())?;
        let endpoint = endpoint.connect_timeout(self.connect_timeout);
        match self.endpoint.split_once(':') {
            Some(("https", _)) => {
                let unusable = |_| Error::Credentials("the certificates or the key cannot be read");
                endpoint.tls_config(self.tls.config()).map_err(unusable)
            }
            _ if self.tls.is_set() => Err(Error::Credentials("certificates are for an https endpoint")),
            Some(("unix", _)) => Ok(endpoint),
            _ if self.token.is_some() && !is_here(endpoint.uri().host().unwrap_or_default()) => {
                Err(Error::Credentials("a token would go over the network in plain text; use https"))
            }
            _ => Ok(endpoint),
        }
    }
}

/// Whether a host is this one.
fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_does_not_leave_the_host_in_plain_text() {
        let ask = |endpoint: &str| Builder::new(endpoint).token("canary").connect_lazy();
        for good in
            ["127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "unix:/run/socket", "https://10.0.0.1:1"]
        {
            assert!(ask(good).is_ok(), "{good}");
        }
        for bad in ["10.0.0.1:1", "http://sidecar:1", "http://[fe80::1]:1"] {
            assert!(matches!(ask(bad), Err(Error::Credentials(_))), "{bad}");
        }
        assert!(matches!(Builder::new("[::1]:1").token("a b").connect_lazy(), Err(Error::Credentials(_))));
        let shown = format!("{:?} {:?}", Builder::new("127.0.0.1:1").token("canary"), ask("127.0.0.1:1"));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[tokio::test]
    async fn certificates_are_for_tls_and_must_be_some() {
        let plain = Builder::new("127.0.0.1:1").tls_ca("x").connect_lazy();
        assert!(matches!(plain, Err(Error::Credentials(_))));
        let broken = Builder::new("https://127.0.0.1:1").tls_identity("x", "y").connect_lazy();
        assert!(matches!(broken, Err(Error::Credentials(_))));
    }

    #[tokio::test]
    async fn endpoints_are_checked_before_connecting() {
        for good in [
            "http://127.0.0.1:1",
            "127.0.0.1:1",
            "localhost:1",
            "unix:/run/socket",
            "unix:///run/socket",
            "https://127.0.0.1:1",
        ] {
            assert!(Builder::new(good).connect_lazy().is_ok(), "{good}");
        }
        for bad in ["", "nowhere", "https:", "http:", "http://a b:1"] {
            assert!(matches!(Builder::new(bad).connect_lazy(), Err(Error::Endpoint(_))), "{bad}");
        }
    }
}
