//! How to reach a sidecar and how long to wait for it.

use std::time::Duration;

use tonic::transport::Endpoint;

use crate::client::Client;
use crate::error::Error;

/// Longest wait for an answer unless told otherwise; a sidecar answers in well under a millisecond.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a connection unless told otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct Builder {
    endpoint: String,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Builder {
    /// For a sidecar at `endpoint`: `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), timeout: TIMEOUT, connect_timeout: CONNECT_TIMEOUT }
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
    /// When the endpoint is not one, or nobody listens there.
    pub async fn connect(self) -> Result<Client, Error> {
        let channel = self.endpoint()?.connect().await.map_err(|error| Error::unreachable(&error))?;
        Ok(Client::over(channel, self.timeout))
    }

    /// Connects with the first question.
    ///
    /// # Errors
    /// When the endpoint is not one.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        Ok(Client::over(self.endpoint()?.connect_lazy(), self.timeout))
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let unusable = || Error::Endpoint(self.endpoint.clone());
        let text = match self.endpoint.split_once(':') {
            Some(("http" | "unix", rest)) if !rest.is_empty() => self.endpoint.clone(),
            Some(("http" | "https" | "unix", _)) | None => return Err(unusable()),
            Some(_) => format!("http://{}", self.endpoint),
        };
        let endpoint = Endpoint::from_shared(text).map_err(|_| unusable())?;
        Ok(endpoint.connect_timeout(self.connect_timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endpoints_are_checked_before_connecting() {
        for good in
            ["http://127.0.0.1:1", "127.0.0.1:1", "localhost:1", "unix:/run/socket", "unix:///run/socket"]
        {
            assert!(Builder::new(good).connect_lazy().is_ok(), "{good}");
        }
        for bad in ["", "nowhere", "https://127.0.0.1:1", "http:", "http://a b:1"] {
            assert!(matches!(Builder::new(bad).connect_lazy(), Err(Error::Endpoint(_))), "{bad}");
        }
    }
}
