//! Who is let in over TLS, and what a handshake may cost.

use std::path::PathBuf;
use std::sync::Arc;

use portcullis_server::{Config, Listeners};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::certificates::{Authority, Like, Pair, put};
use crate::exposition::Page;
use crate::raw::{AUTHORIZE, PLAIN, Raw, framed};
use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, question};

/// Files for TLS, and who signed them.
pub(crate) struct Secured {
    pub(crate) directory: TempDir,
    pub(crate) authority: Authority,
    pub(crate) clients: Authority,
}

impl Secured {
    pub(crate) fn new() -> Self {
        let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
        let secured = Self { directory: tempfile::tempdir().unwrap(), authority, clients };
        secured.put_pair(&secured.authority.server(1, false));
        put(&secured.file("ca"), &secured.clients.pem);
        secured
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn put_pair(&self, pair: &Pair) {
        put(&self.file("certificate"), &pair.certificate);
        put(&self.file("key"), &pair.key);
    }

    pub(crate) fn of(&self, config: &mut Config) {
        config.tls_certificate = Some(self.file("certificate"));
        config.tls_key = Some(self.file("key"));
        config.credentials_poll_ms = 20;
    }

    pub(crate) fn mutual(&self, config: &mut Config) {
        self.of(config);
        config.tls_client_ca = Some(self.file("ca"));
    }

    pub(crate) async fn sidecar(&self, adjust: impl FnOnce(&mut Config)) -> Sidecar {
        Sidecar::configured(Some(POLICIES), |config| {
            self.mutual(config);
            adjust(config);
        })
        .await
    }

    /// A client that trusts the authority of the server.
    pub(crate) fn channel(&self, sidecar: &Sidecar, identity: Option<&Pair>) -> Channel {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.authority.pem));
        if let Some(Pair { certificate, key }) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", sidecar.grpc)).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    }
}

/// Asks until the question has left: a client may find its connection closed before it has sent anything, and then
/// nothing has failed. Most gRPC libraries do this by themselves.
pub(crate) async fn ask_until_sent(channel: &Channel) -> Result<u64, tonic::Status> {
    loop {
        match ask(channel.clone()).await {
            Err(status) if was_not_sent(&status) => {}
            other => return other,
        }
    }
}

fn was_not_sent(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        }
        cause = error.source();
    }
    false
}

/// One question; the error is whatever kept it from being answered.
pub(crate) async fn ask(channel: Channel) -> Result<u64, tonic::Status> {
    use portcullis_proto::v1::authorization_service_client::AuthorizationServiceClient;
    let mut client = AuthorizationServiceClient::new(channel);
    let answer = client.authorize(question(ALICE, "orders:GetOrder", ORDER)).await?;
    Ok(answer.into_inner().generation)
}

/// A handshake below gRPC.
pub(crate) fn connector(
    authority: &Authority,
    identity: Option<&Pair>,
    version: &'static SupportedProtocolVersion,
    protocol: &[u8],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(Pair { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            config
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(config))
}

pub(crate) async fn dial(
    sidecar: &Sidecar,
    connector: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(sidecar.grpc).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// One sample of the metrics page.
pub(crate) async fn sample(sidecar: &Sidecar, name: &str) -> f64 {
    let (_, page) = sidecar.page("/metrics").await;
    Page::read(&page).value(name)
}

const REFUSED: &str = "portcullis_connections_refused_total{reason=\"handshake\"}";

#[tokio::test]
async fn only_callers_with_a_good_certificate_are_let_in() {
    let secured = Secured::new();
    put(&secured.file("crl"), &secured.clients.revocations(&[7, 8]));
    let audit = secured.file("audit");
    let sidecar = secured
        .sidecar(|config| {
            config.tls_client_crl = Some(secured.file("crl"));
            config.audit_file = Some(audit.clone());
        })
        .await;
    let good = secured.clients.client(Like::default());
    assert_eq!(ask(secured.channel(&sidecar, Some(&good))).await.unwrap(), 1);

    let stranger = Authority::new("clients").client(Like::default());
    let bad = [
        ("none", None),
        ("of another authority of the same name", Some(stranger)),
        ("expired", Some(secured.clients.client(Like { serial: 2, expired: true }))),
        ("revoked", Some(secured.clients.client(Like { serial: 7, expired: false }))),
        ("for a server", Some(secured.authority.server(9, false))),
    ];
    let before = sample(&sidecar, REFUSED).await;
    for (what, pair) in &bad {
        let refused = ask(secured.channel(&sidecar, pair.as_ref())).await;
        assert!(refused.is_err(), "a certificate that is {what}");
    }
    let plain = ask(sidecar.channel.clone()).await;
    assert!(plain.is_err(), "plain text");
    // Who is refused may try again at once.
    assert!(sample(&sidecar, REFUSED).await - before >= 6.0, "each is counted");
    assert_eq!(
        sample(&sidecar, "portcullis_grpc_requests_total{method=\"Authorize\",code=\"OK\"}").await,
        1.0
    );
    let ends = sample(&sidecar, "portcullis_certificate_not_after_timestamp_seconds").await;
    assert_eq!(ends, 4_102_444_800.0, "the first of January 2100");

    sidecar.stop().await;
    let audit = std::fs::read_to_string(audit).unwrap();
    let decided: Vec<_> = audit.lines().filter(|line| line.contains("GetOrder")).collect();
    assert_eq!(decided.len(), 1, "{audit}");
    for part in ["\"sourceIPAddress\":\"127.0.0.1\"", "\"peer\":\"127.0.0.1 URI:spiffe://acme/orders\""] {
        assert!(decided[0].contains(part), "{part}: {}", decided[0]);
    }
}

#[tokio::test]
async fn without_an_authority_for_callers_none_is_asked_for_a_certificate() {
    let secured = Secured::new();
    let sidecar = Sidecar::configured(Some(POLICIES), |config| secured.of(config)).await;
    assert_eq!(ask(secured.channel(&sidecar, None)).await.unwrap(), 1);
    // A client that does not know the authority of the server does not ask it anything.
    let others = Secured::new();
    assert!(ask(others.channel(&sidecar, None)).await.is_err());
}

#[tokio::test]
async fn no_session_is_resumed() {
    let secured = Secured::new();
    let sidecar = secured.sidecar(|_| {}).await;
    let good = secured.clients.client(Like::default());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        // The same configuration remembers sessions and offers them.
        let connector = connector(&secured.authority, Some(&good), version, b"h2");
        for _ in 0..3 {
            let stream = dial(&sidecar, &connector).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            let raw = Raw::over(stream, &h2::client::Builder::new()).await;
            let body = framed(&question(ALICE, "orders:GetOrder", ORDER));
            assert_eq!(raw.call(AUTHORIZE, PLAIN, body).await.code(), Code::Ok);
        }
    }
}

#[tokio::test]
async fn nothing_but_http2_is_spoken() {
    let secured = Secured::new();
    let sidecar = secured.sidecar(|_| {}).await;
    let good = secured.clients.client(Like::default());
    let connector = connector(&secured.authority, Some(&good), &rustls::version::TLS13, b"http/1.1");
    assert!(dial(&sidecar, &connector).await.is_err());
}

#[tokio::test]
async fn a_handshake_that_stands_still_takes_a_place_and_loses_it() {
    let secured = Secured::new();
    let sidecar = secured
        .sidecar(|config| {
            config.tls_handshake_ms = 100;
            config.connections_max = 1;
        })
        .await;
    let mut stuck = TcpStream::connect(sidecar.grpc).await.unwrap();
    // The beginning of a record of a handshake.
    stuck.write_all(&[22, 3, 1]).await.unwrap();
    let good = secured.clients.client(Like::default());
    let served = tokio::spawn(ask(secured.channel(&sidecar, Some(&good))));
    let mut read = Vec::new();
    let closed = tokio::time::timeout(SOON, stuck.read_to_end(&mut read)).await;
    closed.expect("it is closed").ok();
    assert_eq!(tokio::time::timeout(SOON, served).await.unwrap().unwrap().unwrap(), 1);
    assert_eq!(sample(&sidecar, REFUSED).await, 1.0);
}

#[tokio::test]
async fn everything_wrong_with_the_files_is_said_at_once_and_nothing_is_bound() {
    let secured = Secured::new();
    put(&secured.file("certificate"), "-----BEGIN CERTIFICATE-----\ncanary");
    put(&secured.file("key"), "canary");
    put(&secured.file("tokens"), "canary");
    let mut config = Config { listen: "127.0.0.1:0".to_owned(), ..Config::default() };
    secured.mutual(&mut config);
    config.tls_client_ca = Some(secured.file("none"));
    config.token_file = Some(secured.file("tokens"));
    let error = Listeners::bind(&config).await.unwrap_err().to_string();
    for part in
        ["`tls_certificate` is `", "`tls_key` is `", "`tls_client_ca` is `", "`token_file` is `", "line 1"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("canary"), "{error}");

    for (pair, says) in [
        (
            Pair { key: secured.authority.server(2, false).key, ..secured.authority.server(3, false) },
            "`tls_key`",
        ),
        (secured.authority.server(4, true), "has expired"),
    ] {
        let mut config = Config { listen: "127.0.0.1:0".to_owned(), ..Config::default() };
        secured.of(&mut config);
        secured.put_pair(&pair);
        let error = Listeners::bind(&config).await.unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}
