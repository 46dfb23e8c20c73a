//! The client against a real server, and against peers that are none.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends with the first surprise")]

mod enforce;
mod enforce_axum;
mod enforce_tonic;
mod testing;

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis_client::{Authorizer as _, Client, Error, Health, Reason, Request, Session};
use portcullis_server::{Config, Listeners};
use portcullis_store::{Store, StoreOptions};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/42";
const POLICIES: &str = r#"{"UserDetailList": [{"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice",
    "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "orders:Get*", "Resource": "*"},
        {"Sid": "Keep", "Effect": "Deny", "Action": "orders:Delete*", "Resource": "*"}]}}]}]}"#;
const SOON: Duration = Duration::from_secs(30);

struct Sidecar {
    directory: TempDir,
    store: Store,
    tcp: String,
    unix: String,
    running: JoinHandle<()>,
}

impl Sidecar {
    async fn start() -> Self {
        Self::configured(|_, _| {}).await
    }

    async fn configured(adjust: impl FnOnce(&mut Config, &Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join("policies");
        fs::create_dir(&policies).unwrap();
        let socket = directory.path().join("socket");
        let mut config = Config {
            listen: "127.0.0.1:0".to_owned(),
            http_listen: String::new(),
            uds: Some(socket.clone()),
            ..Config::default()
        };
        adjust(&mut config, directory.path());
        let listeners = Listeners::bind(&config).await.unwrap();
        let tcp = format!("http://{}", listeners.grpc_address().unwrap());
        let store = Store::open(StoreOptions {
            poll_interval: Duration::from_millis(50),
            ..StoreOptions::new(policies)
        });
        let served = portcullis_server::run(config, store.clone(), listeners, std::future::pending());
        let running = tokio::spawn(async move {
            served.await.unwrap();
        });
        Self { directory, store, tcp, unix: format!("unix:{}", socket.display()), running }
    }

    async fn load(&self) {
        fs::write(self.directory.path().join("policies/policies.json"), POLICIES).unwrap();
        self.store.rescan();
        let mut generations = self.store.subscribe();
        let loaded = generations.wait_for(|generation| *generation > 0);
        tokio::time::timeout(SOON, loaded).await.expect("the policies load").unwrap();
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn client(endpoint: &str) -> Client {
    Client::builder(endpoint).timeout(SOON).connect().await.unwrap()
}

#[tokio::test]
async fn decisions_over_both_kinds_of_socket() {
    let sidecar = Sidecar::start().await;
    sidecar.load().await;
    for endpoint in [&sidecar.tcp, &sidecar.unix] {
        let client = client(endpoint).await;
        let allowed = client.decide(Request::new(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
        assert!(allowed.is_allowed());
        assert_eq!((allowed.reason(), allowed.answer().generation()), (Reason::Allowed, 1));
        let request = Request::new(ALICE, "orders:DeleteOrder", ORDER).with_statements().context("n", 1);
        let denied = client.decide(request).await.unwrap();
        assert!(!denied.is_allowed());
        assert_eq!(
            (denied.reason(), denied.answer().statements().first().unwrap().sid.as_str()),
            (Reason::ExplicitDeny, "Keep")
        );
    }
}

#[tokio::test]
async fn a_malformed_question_is_an_error_with_its_fields() {
    let sidecar = Sidecar::start().await;
    sidecar.load().await;
    let session = Session::new().policy("{");
    let request = Request::new(ALICE, "orders:GetOrder", ORDER).session(session);
    let error = client(&sidecar.tcp).await.decide(request).await.unwrap_err();
    assert!(!error.is_transient());
    let Error::Refused { reason, violations, .. } = error else { unreachable!("{error:?}") };
    assert_eq!(
        (reason.as_str(), violations.first().unwrap().field.as_str()),
        ("MALFORMED_REQUEST", "session.policies")
    );
}

#[tokio::test]
async fn a_batch_has_one_answer_for_each_question() {
    let sidecar = Sidecar::start().await;
    sidecar.load().await;
    let requests = vec![
        Request::new(ALICE, "orders:GetOrder", ORDER),
        Request::new(ALICE, "nonsense", ORDER),
        Request::new(ALICE, "orders:PutOrder", ORDER),
    ];
    let answers = client(&sidecar.tcp).await.decide_all(requests).await;
    let told: Vec<Option<bool>> =
        answers.into_iter().map(|answer| answer.ok().map(|decision| decision.is_allowed())).collect();
    assert_eq!(told, [Some(true), None, Some(false)]);
}

#[tokio::test]
async fn health_status_and_waiting_follow_the_sidecar() {
    let sidecar = Sidecar::start().await;
    let client = client(&sidecar.tcp).await;
    assert_eq!(client.health().await.unwrap(), Health::NotServing);
    let error = client.decide(Request::new(ALICE, "orders:GetOrder", ORDER)).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let short = Duration::from_millis(50);
    assert_eq!(client.wait_for_revision("", 1, short).await.unwrap_err(), Error::Timeout(short));
    sidecar.load().await;
    let waited = client.wait_for_revision("", 1, SOON).await.unwrap();
    let status = client.status().await.unwrap();
    assert_eq!((status.revision, status.generation), (waited.revision, 1));
    let serving = async { while client.health().await.unwrap() != Health::Serving {} };
    tokio::time::timeout(SOON, serving).await.expect("the sidecar serves");
}

#[tokio::test]
async fn nobody_a_silent_peer_and_a_babbling_peer_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let request = || Request::new(ALICE, "orders:GetOrder", ORDER);
    let lazy = |timeout| Client::builder(address.to_string()).timeout(timeout).connect_lazy().unwrap();

    // Accepts by the backlog alone and says nothing.
    let short = Duration::from_millis(50);
    assert_eq!(lazy(short).decide(request()).await.unwrap_err(), Error::Timeout(short));

    let babble = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ngrpc-status: 0\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    assert!(lazy(Duration::from_secs(1)).decide(request()).await.is_err());
    babble.abort();
    let _ = babble.await;
    let error = lazy(SOON).decide(request()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(matches!(Client::connect(address.to_string()).await, Err(Error::Unreachable(_))));
}

/// Asks as services do: from many tasks at once, on one client.
async fn ask_much(client: &Client, calls: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        tasks.spawn(async move {
            for _ in 0..calls {
                let decision = client.decide(Request::new(ALICE, "orders:GetOrder", ORDER)).await;
                assert!(decision.expect("no call fails").is_allowed());
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_asked_to_leave_are_not_noticed() {
    let sidecar = Sidecar::configured(|config, _| config.connection_age_max_ms = 5).await;
    sidecar.load().await;
    let patient = |endpoint: &str| Client::builder(endpoint).timeout(SOON).connect_lazy().unwrap();
    ask_much(&patient(&sidecar.tcp), 200).await;
    ask_much(&patient(&sidecar.unix), 200).await;
}

/// Writes a file that only its owner may read.
fn put(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_proves_itself_and_knows_the_sidecar() {
    let (key, other) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let own = |key: &rcgen::KeyPair| {
        let params = rcgen::CertificateParams::new(vec!["sidecar.example".to_owned()]).unwrap();
        params.self_signed(key).unwrap().pem()
    };
    let (certificate, stranger) = (own(&key), own(&other));
    let token = "t".repeat(40);
    let sidecar = Sidecar::configured(|config, directory| {
        let file = |name: &str, text: &str| {
            put(&directory.join(name), text);
            Some(directory.join(name))
        };
        config.tls_certificate = file("certificate", &certificate);
        config.tls_key = file("key", &key.serialize_pem());
        // One certificate for both sides, and so its own authority.
        config.tls_client_ca = file("ca", &certificate);
        config.token_file = file("tokens", &token);
    })
    .await;
    sidecar.load().await;
    let endpoint = sidecar.tcp.replace("http:", "https:");
    let known =
        || Client::builder(&endpoint).tls_ca(&certificate).tls_server_name("sidecar.example").timeout(SOON);
    let proved = || known().tls_identity(&certificate, key.serialize_pem());
    ask_much(&proved().token(&token).connect().await.unwrap(), 20).await;

    let ask = async |client: Result<Client, Error>| {
        client?.decide(Request::new(ALICE, "orders:GetOrder", ORDER)).await
    };
    let refused = ask(proved().connect().await).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused { reason, .. } if reason == "UNAUTHENTICATED"), "{refused:?}");
    for unreachable in [
        known().token(&token),
        known().tls_identity(&stranger, other.serialize_pem()).token(&token),
        Client::builder(&endpoint).tls_ca(&stranger).tls_server_name("sidecar.example"),
        proved().tls_server_name("another.example").token(&token),
    ] {
        let refused = ask(unreachable.connect().await).await.unwrap_err();
        assert!(matches!(refused, Error::Unreachable(_)), "{refused:?}");
    }
}
