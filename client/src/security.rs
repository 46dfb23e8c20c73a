//! How a sidecar is known, and how the client proves itself to it: TLS and a bearer token.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tonic::{Request, Status};

use crate::error::Error;

/// TLS of a client, all in PEM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    authorities: Option<Certificate>,
    identity: Option<Identity>,
    server_name: Option<String>,
}

impl Tls {
    pub(crate) fn authorities(&mut self, pem: &[u8]) {
        self.authorities = Some(Certificate::from_pem(pem));
    }

    pub(crate) fn identity(&mut self, certificate: &[u8], key: &[u8]) {
        self.identity = Some(Identity::from_pem(certificate, key));
    }

    pub(crate) fn server_name(&mut self, name: String) {
        self.server_name = Some(name);
    }

    /// Whether anything was set.
    pub(crate) fn is_set(&self) -> bool {
        self.authorities.is_some() || self.identity.is_some() || self.server_name.is_some()
    }

    pub(crate) fn config(&self) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new();
        config = match &self.authorities {
            Some(authorities) => config.ca_certificate(authorities.clone()),
            None => config.with_native_roots(),
        };
        if let Some(identity) = &self.identity {
            config = config.identity(identity.clone());
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        config
    }
}

/// Puts the token on every call, where there is one. Never shown.
#[derive(Clone, Default)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer(..)" } else { "Bearer(none)" })
    }
}

impl Bearer {
    /// # Errors
    /// When the token has characters that no header may have.
    pub(crate) fn new(token: &str) -> Result<Self, Error> {
        let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>().ok().filter(|_| plain);
        let mut value = value.ok_or(Error::Credentials("the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}
