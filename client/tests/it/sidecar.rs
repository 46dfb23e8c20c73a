//! A real server in this process, and a wire to it that can be cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_client::{Client, Request};
use portcullis_server::{Config, Listeners};
use portcullis_store::{Store, StoreOptions};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
pub(crate) const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/42";
pub(crate) const POLICIES: &str = r#"{"UserDetailList": [{"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice",
    "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "orders:Get*", "Resource": "*"},
        {"Effect": "Allow", "Action": "orders:Late", "Resource": "*",
            "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}},
        {"Sid": "Keep", "Effect": "Deny", "Action": "orders:Delete*", "Resource": "*"}]}}]}]}"#;
/// Longer than anything here takes on a slow machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What alice may do.
pub(crate) fn allowed() -> Request {
    Request::new(ALICE, "orders:GetOrder", ORDER)
}

/// What she may not.
pub(crate) fn denied() -> Request {
    Request::new(ALICE, "orders:DeleteOrder", ORDER)
}

pub(crate) struct Sidecar {
    pub(crate) directory: TempDir,
    pub(crate) store: Store,
    pub(crate) tcp: String,
    pub(crate) unix: String,
    running: JoinHandle<()>,
}

impl Sidecar {
    pub(crate) async fn start() -> Self {
        Self::configured(|_, _| {}).await
    }

    /// One that has loaded [`POLICIES`].
    pub(crate) async fn loaded() -> Self {
        let sidecar = Self::start().await;
        sidecar.load().await;
        sidecar
    }

    pub(crate) async fn configured(adjust: impl FnOnce(&mut Config, &Path)) -> Self {
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

    pub(crate) async fn load(&self) {
        self.publish(POLICIES).await;
    }

    /// Replaces the policies and waits until they are active.
    pub(crate) async fn publish(&self, policies: &str) {
        let mut generations = self.store.subscribe();
        let before = *generations.borrow_and_update();
        let file = self.directory.path().join("policies/policies.json");
        fs::write(file.with_extension("new"), policies).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
        self.store.rescan();
        let loaded = generations.wait_for(|generation| *generation > before);
        tokio::time::timeout(SOON, loaded).await.expect("the policies load").unwrap();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub(crate) async fn client(&self) -> Client {
        client(&self.tcp).await
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) async fn client(endpoint: &str) -> Client {
    Client::builder(endpoint).timeout(SOON).connect().await.unwrap()
}

/// A socket before a socket, so that a sidecar can be gone and back as a client sees it.
pub(crate) struct Wire {
    path: PathBuf,
    to: PathBuf,
    passing: Option<JoinHandle<()>>,
}

impl Wire {
    pub(crate) fn to(sidecar: &Sidecar) -> Self {
        let path = sidecar.directory.path().join("wire");
        let mut wire = Self { path, to: sidecar.socket(), passing: None };
        wire.mend();
        wire
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    /// Ends every connection wherever it is, and takes no new one.
    pub(crate) async fn cut(&mut self) {
        if let Some(passing) = self.passing.take() {
            passing.abort();
            let _ = passing.await;
        }
        let _ = fs::remove_file(&self.path);
    }

    pub(crate) fn mend(&mut self) {
        let (listener, to) = (UnixListener::bind(&self.path).unwrap(), self.to.clone());
        self.passing = Some(tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let to = to.clone();
                connections.spawn(async move {
                    let mut far = UnixStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        }));
    }
}
