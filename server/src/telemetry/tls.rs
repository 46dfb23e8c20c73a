//! TLS to a collector: whom it must be certified by, and what is shown to it, out of the specification's variables.
//!
//! Files are read once, at the start: a collector that cannot be proved costs traces and no decision. Invariant: what is
//! named in a variable is used or refused, never passed over.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

const AUTHORITIES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const CERTIFICATE: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
const KEY: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];

/// A variable, and what is wrong with it.
type Wrong = (&'static str, String);

/// What the variables name, read and looked through.
pub(super) struct Tls {
    config: ClientConfig,
    authorities: Option<Vec<u8>>,
    /// Certificate and key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// # Errors
    /// The first file that is of no use.
    pub(super) fn read(set: &dyn Fn(&str) -> Option<String>) -> Result<Self, Wrong> {
        let authorities = file(&AUTHORITIES, set)?;
        let identity = match (file(&CERTIFICATE, set)?, file(&KEY, set)?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some((name, _)), None) | (None, Some((name, _))) => {
                return Err((
                    name,
                    format!("`{name}` is set without its other half: a certificate needs its key"),
                ));
            }
        };
        let roots = roots(authorities.as_ref())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| (AUTHORITIES[1], error.to_string()))?
            .with_root_certificates(roots);
        let config = match &identity {
            None => builder.with_no_client_auth(),
            Some(((of_certificate, certificate), (of_key, key))) => {
                let chain = certificates(of_certificate, certificate)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
                    (*of_key, format!("`{of_key}` names a file without a private key: {error}"))
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    (*of_certificate, format!("`{of_certificate}` and `{of_key}` cannot be used: {error}"))
                })?
            }
        };
        let authorities = authorities.map(|(_, pem)| pem);
        let identity = identity.map(|((_, certificate), (_, key))| (certificate, key));
        Ok(Self { config, authorities, identity })
    }

    /// For OTLP over HTTP.
    pub(super) fn http(self, timeout: Duration) -> impl opentelemetry_http::HttpClient + 'static {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(self.config).https_only().enable_http1().build();
        HyperClient::new(connector, timeout, None)
    }

    /// For OTLP over gRPC.
    pub(super) fn grpc(self) -> ClientTlsConfig {
        let tls = match self.authorities {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match self.identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }
}

/// The file that the first of these variables names, and which variable that is.
fn file(
    names: &[&'static str],
    set: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<(&'static str, Vec<u8>)>, Wrong> {
    let Some((name, path)) = names.iter().find_map(|name| Some((*name, set(name)?))) else { return Ok(None) };
    match std::fs::read(&path) {
        Ok(content) => Ok(Some((name, content))),
        Err(error) => Err((name, format!("`{name}` names `{path}`, which cannot be read: {error}"))),
    }
}

/// The named authorities, and otherwise those of this machine.
fn roots(named: Option<&(&'static str, Vec<u8>)>) -> Result<RootCertStore, Wrong> {
    let mut roots = RootCertStore::empty();
    let Some((name, pem)) = named else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let name = AUTHORITIES[1];
            let sentence =
                format!("this machine has no certificate authorities: name a file of them in `{name}`");
            return Err((name, sentence));
        }
        return Ok(roots);
    };
    for certificate in certificates(name, pem)? {
        roots
            .add(certificate)
            .map_err(|error| (*name, format!("`{name}` names a certificate that cannot be used: {error}")))?;
    }
    Ok(roots)
}

fn certificates(name: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err((name, format!("`{name}` names a file without certificates"))),
        Err(error) => Err((name, format!("`{name}` names a file that is no PEM: {error}"))),
    }
}
