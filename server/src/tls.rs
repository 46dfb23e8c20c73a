//! TLS of the gRPC listener: one configuration, replaced as a whole when its files change.
//!
//! Invariants: (FRESH) every configuration is new and shares nothing with the one before, and no session is resumed, so
//! that each connection is judged by the authorities and revocations of its day; (FIRST) nothing of HTTP/2 is read from a
//! peer whose handshake is not over.

mod build;
mod certificate;

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use blake3::Hash;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Config, Finding};
use crate::credentials::{CredentialFile, Reading, Renewable, Renewed};
use build::Built;

pub(crate) const CERTIFICATE: &str = "tls_certificate";
pub(crate) const KEY: &str = "tls_key";
pub(crate) const CLIENT_CA: &str = "tls_client_ca";
pub(crate) const CLIENT_CRL: &str = "tls_client_crl";

/// What TCP connections are protected with.
pub(crate) struct Tls {
    files: Vec<CredentialFile>,
    handshake: Duration,
    allow_expired_crl: bool,
    current: RwLock<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// Of everything that was read.
    digest: Hash,
    /// Of what decides which callers are admitted.
    trust: Hash,
    not_after: i64,
    /// When the first of the revocation lists must be replaced.
    next_update: Option<i64>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Why a connection is not protected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// It took too long.
    #[error("the handshake took too long")]
    Late,
    /// The peer does not speak TLS, offers nothing that we take, has no certificate that we take, or takes none of ours.
    #[error(transparent)]
    Refused(#[from] io::Error),
}

impl Tls {
    /// Reads the files of the configuration; none when it names none.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn load(config: &Config) -> Result<Option<Self>, Vec<Finding>> {
        let files: Vec<_> = [
            CredentialFile::public(CERTIFICATE, &config.tls_certificate),
            CredentialFile::secret(KEY, &config.tls_key),
            CredentialFile::public(CLIENT_CA, &config.tls_client_ca),
            CredentialFile::public(CLIENT_CRL, &config.tls_client_crl),
        ]
        .into_iter()
        .flatten()
        .collect();
        if files.is_empty() {
            return Ok(None);
        }
        let reading = Reading::of(&files);
        let allow_expired_crl = config.allow_expired_crl;
        let current = RwLock::new(Current::new(build::build(&reading, allow_expired_crl)?, &reading));
        let handshake = Duration::from_millis(config.tls_handshake_ms);
        Ok(Some(Self { files, handshake, allow_expired_crl, current }))
    }

    /// When the certificate in use ends, in seconds since 1970.
    pub(crate) fn not_after(&self) -> i64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// When the first of the revocation lists in use must be replaced, in seconds since 1970.
    pub(crate) fn next_update(&self) -> Option<i64> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).next_update
    }

    /// Makes a protected connection of a plain one.
    pub(crate) async fn accept<S>(&self, socket: S) -> Result<TlsStream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone();
        match timeout(self.handshake, acceptor.accept(socket)).await {
            Ok(accepted) => Ok(accepted?),
            Err(_) => Err(HandshakeError::Late),
        }
    }
}

/// The name in the certificate that the peer has shown and proved to own. It is who calls the service, and never the
/// principal that is asked about.
pub(crate) fn peer_name<S>(stream: &TlsStream<S>) -> Option<String> {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates()?.first()?;
    Some(certificate::facts(shown).map_or_else(|| "unreadable".to_owned(), |facts| facts.name))
}

impl Current {
    fn new(built: Built, reading: &Reading) -> Self {
        Self {
            acceptor: TlsAcceptor::from(Arc::new(built.config)),
            digest: reading.digest(),
            trust: reading.digest_of(&[CLIENT_CA, CLIENT_CRL]),
            not_after: built.facts.not_after,
            next_update: built.next_update,
        }
    }
}

impl Renewable for Tls {
    fn files(&self) -> &[CredentialFile] {
        &self.files
    }

    fn active(&self) -> Hash {
        self.current.read().unwrap_or_else(PoisonError::into_inner).digest
    }

    fn renew(&self, reading: &Reading) -> Result<Renewed, Vec<Finding>> {
        let built = build::build(reading, self.allow_expired_crl)?;
        let facts = built.facts.clone();
        let new = Current::new(built, reading);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let narrower = current.trust != new.trust;
        *current = new;
        let details = vec![
            ("subject", facts.name.into()),
            ("serialNumber", facts.serial.into()),
            ("notAfter", facts.not_after.unsigned_abs().into()),
            ("clientAuthoritiesChanged", if narrower { "true" } else { "false" }.into()),
        ];
        Ok(Renewed { details, narrower })
    }
}
