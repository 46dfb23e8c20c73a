//! How a sidecar is known and how the client proves itself: certificates, read again for every connection.
//!
//! Connections are few, so the files are simply read each time. What cannot be used does not replace what could.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// PEM, or where it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let unread =
                    |error| Error::Credentials(format!("{} cannot be read: {error}", path.display()));
                fs::read(path).map_err(unread)
            }
        }
    }
}

/// What was read, to see whether it has changed.
#[derive(PartialEq, Eq)]
struct Material {
    authorities: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// What handshakes use, and what it was made of.
type Current = (Material, Arc<ClientConfig>);

/// TLS of one client.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    pub(crate) authorities: Option<Pem>,
    pub(crate) identity: Option<(Pem, Pem)>,
    pub(crate) server_name: Option<String>,
    current: Arc<Mutex<Option<Current>>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Whether anything was set.
    pub(crate) fn is_set(&self) -> bool {
        self.authorities.is_some() || self.identity.is_some() || self.server_name.is_some()
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// What the next handshake uses: the files as they are now, or as they last could be used.
    ///
    /// # Errors
    /// When they never could.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = self.material().and_then(|material| match &*current {
            Some((held, _)) if *held == material => Ok(None),
            _ => build(&material).map(|config| Some((material, Arc::new(config)))),
        });
        match (renewed, &*current) {
            (Ok(None), _) => {}
            (Ok(Some(renewed)), _) => *current = Some(renewed),
            (Err(error), None) => return Err(error),
            (Err(error), Some(_)) => {
                tracing::warn!(%error, "new certificates cannot be used; the old ones are used on");
            }
        }
        match &*current {
            Some((_, config)) => Ok(Arc::clone(config)),
            None => Err(Error::Credentials("there are no certificates".to_owned())),
        }
    }

    fn material(&self) -> Result<Material, Error> {
        let identity = match &self.identity {
            Some((certificate, key)) => Some((certificate.read()?, key.read()?)),
            None => None,
        };
        Ok(Material { authorities: self.authorities.as_ref().map(Pem::read).transpose()?, identity })
    }
}

fn build(material: &Material) -> Result<ClientConfig, Error> {
    let unusable =
        |what: &str, error: &dyn fmt::Display| Error::Credentials(format!("{what} cannot be used: {error}"));
    let mut roots = RootCertStore::empty();
    match &material.authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| unusable("the authorities", &error))?;
                roots.add(certificate).map_err(|error| unusable("an authority", &error))?;
            }
        }
        None => {
            // Single broken ones are common and no reason to trust none of the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::Credentials(
            "there is no authority that the sidecar could be known by".to_owned(),
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS", &error))?
        .with_root_certificates(roots);
    let mut config = match &material.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unusable("the certificate", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable("the key", &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable("the certificate", &error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
