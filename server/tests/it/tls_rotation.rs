//! Certificates, keys and authorities that change while calls are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_client::AuthorizationServiceClient;
use portcullis_server::Config;
use rustls::version::TLS13;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::certificates::{Authority, Like, Pair, put};
use crate::sidecar::{ALICE, ORDER, SOON, Sidecar, question};
use crate::tls::{Secured, ask, ask_until_sent, connector, dial, sample};

const ACCEPTED: &str = "portcullis_certificate_reloads_total{result=\"accepted\"}";
const REFUSED: &str = "portcullis_certificate_reloads_total{result=\"refused\"}";

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// The certificate that the server shows now.
async fn shown(secured: &Secured, sidecar: &Sidecar, client: &Pair) -> Vec<u8> {
    let stream = dial(sidecar, &connector(&secured.authority, Some(client), &TLS13, b"h2")).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap().first().unwrap().to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

/// Calls on connections that stay and on new ones, until told to end.
struct Load {
    tasks: JoinSet<()>,
    ends: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    gentle: Arc<AtomicBool>,
}

impl Load {
    fn begin(channels: &Arc<dyn Fn() -> Channel + Send + Sync>) -> Self {
        let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let gentle = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..6 {
            let (ends, answered, channels) = (Arc::clone(&ends), Arc::clone(&answered), Arc::clone(channels));
            let gentle = Arc::clone(&gentle);
            tasks.spawn(async move {
                let mut channel = channels();
                while !ends.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        channel = channels();
                    }
                    // A certificate ends no connection, and so there is nothing that could go wrong; an authority does.
                    let asked = match gentle.load(Ordering::Relaxed) {
                        true => ask_until_sent(&channel).await,
                        false => ask(channel.clone()).await,
                    };
                    asked.expect("no call fails");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { tasks, ends, answered, gentle }
    }

    /// Waits for some more calls, so that whatever was done before has met calls.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until("more calls", async || self.answered.load(Ordering::Relaxed) > before + 50).await;
    }

    async fn end(mut self) {
        self.ends.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no call failed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load_and_no_call_fails() {
    let secured = Arc::new(Secured::new());
    let sidecar = Arc::new(secured.sidecar(|_| {}).await);
    let client = secured.clients.client(Like::default());
    let channels: Arc<dyn Fn() -> Channel + Send + Sync> = {
        let (secured, sidecar, client) = (Arc::clone(&secured), Arc::clone(&sidecar), client.clone());
        Arc::new(move || secured.channel(&sidecar, Some(&client)))
    };
    let load = Load::begin(&channels);
    for serial in 2..6 {
        let new = secured.authority.server(serial, false);
        // One after the other, as whoever writes two files does.
        put(&secured.file("certificate"), &new.certificate);
        load.goes_on().await;
        put(&secured.file("key"), &new.key);
        until("the new certificate is shown", async || shown(&secured, &sidecar, &client).await == der(&new))
            .await;
        load.goes_on().await;
    }
    load.gentle.store(true, Ordering::Relaxed);
    // Who may come in changes as well; those who still may do not notice that their connections end.
    for other in 0..3 {
        let authorities = format!("{}{}", secured.clients.pem, Authority::new(&format!("more {other}")).pem);
        let accepted = sample(&sidecar, ACCEPTED).await;
        put(&secured.file("ca"), &authorities);
        until("the new authorities are in use", async || sample(&sidecar, ACCEPTED).await > accepted).await;
        load.goes_on().await;
    }
    load.end().await;
    assert_eq!(sample(&sidecar, ACCEPTED).await, 7.0);
}

#[tokio::test]
async fn what_cannot_serve_replaces_nothing_and_is_told_of_once() {
    let secured = Secured::new();
    let audit = secured.file("audit");
    let sidecar = secured.sidecar(|config| config.audit_file = Some(audit.clone())).await;
    let client = secured.clients.client(Like::default());
    let old = secured.authority.server(2, false);
    secured.put_pair(&old);
    until("the pair is in use", async || shown(&secured, &sidecar, &client).await == der(&old)).await;
    // The two files may have been seen one at a time.
    let mut refused = sample(&sidecar, REFUSED).await;
    let accepted = sample(&sidecar, ACCEPTED).await;

    let other_key = secured.authority.server(3, false).key;
    let expired = secured.authority.server(4, true);
    let bad: [(&str, &dyn Fn()); 5] = [
        ("of another pair", &|| put(&secured.file("key"), &other_key)),
        ("no key", &|| put(&secured.file("key"), "canary")),
        ("nothing", &|| std::fs::remove_file(secured.file("key")).unwrap()),
        ("no authority", &|| put(&secured.file("ca"), "")),
        ("expired", &|| {
            put(&secured.file("certificate"), &expired.certificate);
            put(&secured.file("key"), &expired.key);
        }),
    ];
    for (what, spoil) in bad {
        spoil();
        until(what, async || sample(&sidecar, REFUSED).await > refused).await;
        assert_eq!(shown(&secured, &sidecar, &client).await, der(&old), "{what}");
        assert_eq!(sample(&sidecar, "portcullis_degraded").await, 1.0, "{what}");
        // Several looks later it has not been told of again.
        let settled = sample(&sidecar, REFUSED).await;
        sidecar.lifecycle.reload();
        tokio::time::sleep(Duration::from_millis(300)).await;
        refused = sample(&sidecar, REFUSED).await;
        assert!(refused <= settled + 1.0, "{what}");
        put(&secured.file("ca"), &secured.clients.pem);
        secured.put_pair(&old);
        until("in order", async || sample(&sidecar, "portcullis_degraded").await == 0.0).await;
        refused = sample(&sidecar, REFUSED).await;
    }
    assert_eq!(sample(&sidecar, ACCEPTED).await, accepted, "nothing was replaced");
    sidecar.stop().await;
    let audit = std::fs::read_to_string(audit).unwrap();
    let told = |name: &str| audit.lines().filter(|line| line.contains(name)).count() as f64;
    assert_eq!(told("\"RejectCertificate\""), refused);
    assert_eq!(told("\"ChangeCertificate\""), accepted);
    assert!(!audit.contains("canary"));
}

#[tokio::test]
async fn an_authority_or_a_certificate_that_is_taken_away_is_gone_with_its_connections() {
    let secured = Secured::new();
    put(&secured.file("crl"), &secured.clients.revocations(&[99]));
    let sidecar = secured.sidecar(|config| config.tls_client_crl = Some(secured.file("crl"))).await;
    let (kept, revoked) =
        (secured.clients.client(Like::default()), secured.clients.client(Like { serial: 7, expired: false }));
    let [kept_channel, revoked_channel] = [&kept, &revoked].map(|pair| secured.channel(&sidecar, Some(pair)));
    ask(kept_channel.clone()).await.unwrap();
    // A stream that is open for as long as its connection.
    let mut client = AuthorizationServiceClient::new(revoked_channel.clone());
    let (questions, asked) = tokio::sync::mpsc::channel(1);
    let request = question(ALICE, "orders:GetOrder", ORDER);
    let message = v1::AuthorizeStreamRequest { correlation_id: "1".to_owned(), request: Some(request) };
    questions.send(message).await.unwrap();
    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut answers = client.authorize_stream(asked).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());

    put(&secured.file("crl"), &secured.clients.revocations(&[7]));
    let ended = tokio::time::timeout(SOON, answers.message()).await.expect("the stream ends");
    assert!(ended.expect("and ends well").is_none());
    until("the revoked is refused", async || ask(revoked_channel.clone()).await.is_err()).await;
    ask(kept_channel.clone()).await.expect("the other is not");

    let others = Authority::new("others");
    put(&secured.file("crl"), &others.revocations(&[99]));
    put(&secured.file("ca"), &others.pem);
    until("all of the old authority are refused", async || ask(kept_channel.clone()).await.is_err()).await;
    let other = others.client(Like::default());
    let other = secured.channel(&sidecar, Some(&other));
    until("those of the new one are let in", async || ask(other.clone()).await.is_ok()).await;
    assert!(ask(secured.channel(&sidecar, Some(&kept))).await.is_err());
}

#[tokio::test]
async fn a_revocation_list_that_is_past_its_end_is_refused_unless_that_is_allowed() {
    let secured = Secured::new();
    let crl = secured.file("crl");
    let (good, revoked) =
        (secured.clients.client(Like::default()), secured.clients.client(Like { serial: 7, expired: false }));
    put(&crl, &secured.clients.revocations_until(2021, &[7]));
    let mut config = Config::default();
    secured.mutual(&mut config);
    config.tls_client_crl = Some(crl.clone());
    let wrong = config.check_files();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0].settings, ["tls_client_crl"]);
    assert!(wrong[0].message.contains("had to be replaced by Jan  1 00:00:00 2021"), "{wrong:?}");

    let sidecar = secured
        .sidecar(|config| {
            config.tls_client_crl = Some(crl.clone());
            config.allow_expired_crl = true;
        })
        .await;
    assert_eq!(ask(secured.channel(&sidecar, Some(&good))).await.unwrap(), 1);
    assert!(ask(secured.channel(&sidecar, Some(&revoked))).await.is_err(), "an old list still revokes");
    let end = "portcullis_crl_next_update_timestamp_seconds";
    until("the end of the list is told", async || sample(&sidecar, end).await > 0.0).await;
    assert_eq!(sample(&sidecar, end).await, 1_609_459_200.0, "the first of January 2021");
    sidecar.stop().await;

    // One that is replaced by a list past its end stays.
    put(&crl, &secured.clients.revocations(&[7]));
    let sidecar = secured.sidecar(|config| config.tls_client_crl = Some(crl.clone())).await;
    put(&crl, &secured.clients.revocations_until(2021, &[]));
    let refused = "portcullis_certificate_reloads_total{result=\"refused\"}";
    until("the list is refused", async || sample(&sidecar, refused).await > 0.0).await;
    assert_eq!(ask(secured.channel(&sidecar, Some(&good))).await.unwrap(), 1);
    assert!(ask(secured.channel(&sidecar, Some(&revoked))).await.is_err());
}

#[tokio::test]
async fn a_reload_looks_at_once() {
    let secured = Secured::new();
    let sidecar = secured.sidecar(|config| config.credentials_poll_ms = 3_600_000).await;
    let client = secured.clients.client(Like::default());
    // The first look is over when the end of the certificate is known.
    let known = "portcullis_certificate_not_after_timestamp_seconds";
    until("the first look", async || sample(&sidecar, known).await > 0.0).await;
    let new = secured.authority.server(2, false);
    secured.put_pair(&new);
    sidecar.lifecycle.reload();
    until("the new certificate is shown", async || shown(&secured, &sidecar, &client).await == der(&new))
        .await;
}
