//! Texts of PEM -> a configuration, or all that is wrong with them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::certificate::{self, Facts};
use super::{CERTIFICATE, CLIENT_CA, CLIENT_CRL, KEY};
use crate::config::Finding;
use crate::credentials::{CredentialFile, Reading};

/// The only protocol that is spoken over it.
const HTTP2: &[u8] = b"h2";

/// A configuration and what its certificate says.
pub(super) struct Built {
    pub(super) config: ServerConfig,
    pub(super) facts: Facts,
    /// When the first of the revocation lists must be replaced, in seconds since 1970.
    pub(super) next_update: Option<i64>,
}

/// Who decides about the certificates of callers.
struct Callers {
    verifier: Arc<dyn ClientCertVerifier>,
    next_update: Option<i64>,
}

/// Builds a configuration that shares nothing with any other.
///
/// # Errors
/// All that is wrong, not the first.
pub(super) fn build(reading: &Reading, allow_expired_crl: bool) -> Result<Built, Vec<Finding>> {
    let mut wrong = Vec::new();
    let provider = Arc::new(ring::default_provider());
    let own = own_certificate(reading, &mut wrong);
    let key =
        reading.text(KEY, &mut wrong).and_then(|(file, bytes)| match PrivateKeyDer::from_pem_slice(bytes) {
            Ok(key) => Some((file, key)),
            Err(error) => {
                wrong.push(file.finding(pem_sentence(&error, "private key")));
                None
            }
        });
    let callers = callers(reading, allow_expired_crl, &provider, &mut wrong);
    let (Some((chain, facts)), Some((file, key)), true) = (own, key, wrong.is_empty()) else {
        return Err(wrong);
    };
    let finding = |error: rustls::Error| vec![file.finding(error)];
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(finding)?;
    let (config, next_update) = match callers {
        Some(Callers { verifier, next_update }) => (config.with_client_cert_verifier(verifier), next_update),
        None => (config.with_no_client_auth(), None),
    };
    // It checks that the key is that of the certificate.
    let mut config = config.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => vec![file.finding("it is not the key of the certificate")],
        error => finding(error),
    })?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Built { config, facts, next_update })
}

fn own_certificate(
    reading: &Reading,
    wrong: &mut Vec<Finding>,
) -> Option<(Vec<CertificateDer<'static>>, Facts)> {
    let (file, bytes) = reading.text(CERTIFICATE, wrong)?;
    let chain: Vec<CertificateDer<'static>> = all(file, bytes, "certificate", wrong)?;
    let Some(facts) = chain.first().and_then(|own| certificate::facts(own)) else {
        wrong.push(file.finding("its first certificate cannot be read"));
        return None;
    };
    if facts.not_after < now() {
        wrong.push(file.finding(format!("the certificate has expired, at {}", facts.not_after_text)));
        return None;
    }
    Some((chain, facts))
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Who decides about the certificates of callers; none when they need none.
fn callers(
    reading: &Reading,
    allow_expired_crl: bool,
    provider: &Arc<CryptoProvider>,
    wrong: &mut Vec<Finding>,
) -> Option<Callers> {
    let (file, bytes) = reading.text(CLIENT_CA, wrong)?;
    let authorities: Vec<CertificateDer<'static>> = all(file, bytes, "certificate", wrong)?;
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        if let Err(error) = roots.add(authority) {
            wrong.push(file.finding(error));
        }
    }
    let revoked = revoked(reading, allow_expired_crl, wrong);
    if !wrong.is_empty() {
        return None;
    }
    let next_update =
        revoked.iter().filter_map(|list| certificate::next_update(list)).map(|(at, _)| at).min();
    // With revocation lists, a certificate that none of them speaks for is refused.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = verifier.with_crls(revoked);
    let verifier = if allow_expired_crl { verifier } else { verifier.enforce_revocation_expiration() };
    match verifier.build() {
        Ok(verifier) => Some(Callers { verifier, next_update }),
        Err(error) => {
            wrong.push(file.finding(error));
            None
        }
    }
}

/// The revocation lists, none of which may be past its next update unless that is allowed.
fn revoked(
    reading: &Reading,
    allow_expired_crl: bool,
    wrong: &mut Vec<Finding>,
) -> Vec<CertificateRevocationListDer<'static>> {
    let Some((file, bytes)) = reading.text(CLIENT_CRL, wrong) else { return Vec::new() };
    let lists: Vec<CertificateRevocationListDer<'static>> =
        all(file, bytes, "revocation list", wrong).unwrap_or_default();
    let now = now();
    for (end, text) in lists.iter().filter_map(|list| certificate::next_update(list)) {
        if end < now && !allow_expired_crl {
            wrong.push(file.finding(format!(
                "a revocation list had to be replaced by {text}: put a new one there, or set `allow_expired_crl`"
            )));
        }
    }
    lists
}

/// Everything of a kind in a file; none, with a sentence, when there is nothing or it is broken.
fn all<T: PemObject>(
    file: &CredentialFile,
    bytes: &[u8],
    what: &str,
    wrong: &mut Vec<Finding>,
) -> Option<Vec<T>> {
    let read = T::pem_slice_iter(bytes).collect::<Result<Vec<T>, _>>();
    match read {
        Ok(read) if read.is_empty() => wrong.push(file.finding(format!("no {what} in PEM is in it"))),
        Ok(read) => return Some(read),
        Err(error) => wrong.push(file.finding(pem_sentence(&error, what))),
    }
    None
}

/// A sentence without the text that is wrong: it may be a part of a key.
fn pem_sentence(error: &PemError, what: &str) -> String {
    match error {
        PemError::NoItemsFound => format!("no {what} in PEM is in it"),
        _ => format!("it is broken as PEM with a {what}"),
    }
}
