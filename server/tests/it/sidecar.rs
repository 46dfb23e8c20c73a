//! A server under test: started on a free port with a temporary policy directory, stopped when dropped.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_client::AuthorizationServiceClient;
use portcullis_proto::v1::policy_set_service_client::PolicySetServiceClient;
use portcullis_server::{Config, Lifecycle, Listeners, Outcome, ServeError, Surroundings};
use portcullis_store::{Store, StoreOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub(crate) const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
pub(crate) const BOB: &str = "arn:aws:iam::111122223333:user/bob";
pub(crate) const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/42";

/// Alice may read orders, and write them from the inside; nobody deletes.
pub(crate) const POLICIES: &str = r#"{
  "UserDetailList": [
    {"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice", "UserPolicyList": [
      {"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
        {"Sid": "Read", "Effect": "Allow", "Action": "orders:Get*", "Resource": "*"},
        {"Sid": "Write", "Effect": "Allow", "Action": "orders:Put*", "Resource": "*",
         "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
        {"Sid": "Keep", "Effect": "Deny", "Action": "orders:Delete*", "Resource": "*"}
      ]}}
    ]},
    {"UserName": "bob", "Arn": "arn:aws:iam::111122223333:user/bob"}
  ]
}"#;

/// Longest wait for something that a test expects to happen.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Sidecar {
    pub(crate) directory: TempDir,
    pub(crate) store: Store,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) channel: Channel,
    pub(crate) lifecycle: Lifecycle,
    running: JoinHandle<Result<Outcome, ServeError>>,
}

impl Sidecar {
    /// With [`POLICIES`] loaded.
    pub(crate) async fn start() -> Self {
        Self::configured(Some(POLICIES), |_| {}).await
    }

    /// With `policies` loaded, or with an empty directory that loads nothing.
    pub(crate) async fn configured(policies: Option<&str>, adjust: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some(policies) = policies {
            fs::write(directory.path().join("policies.json"), policies).unwrap();
        }
        let mut config = Config {
            listen: "127.0.0.1:0".to_owned(),
            http_listen: "127.0.0.1:0".to_owned(),
            // A loaded machine is no reason to fail.
            request_timeout_ms: 30_000,
            ..Config::default()
        };
        adjust(&mut config);
        let listeners = Listeners::bind(&config).await.unwrap();
        let (grpc, http) = (listeners.grpc_address().unwrap(), listeners.http_address().unwrap());
        let options = StoreOptions {
            poll_interval: Duration::from_millis(50),
            settle: Duration::from_millis(5),
            ..config.store_options(directory.path())
        };
        let store = Store::open(options);
        let lifecycle = Lifecycle::new();
        let around = Surroundings { lifecycle: lifecycle.clone(), ..Surroundings::default() };
        let served = portcullis_server::run_until(config, store.clone(), listeners, around);
        let running = tokio::spawn(served);
        let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
        let sidecar = Self { directory, store, grpc, http, channel, lifecycle, running };
        if policies.is_some() {
            sidecar.loaded(1).await;
        }
        sidecar
    }

    pub(crate) async fn loaded(&self, generation: u64) {
        let mut generations = self.store.subscribe();
        let loaded = generations.wait_for(|reached| *reached >= generation);
        tokio::time::timeout(SOON, loaded).await.expect("the policies load").unwrap();
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
        self.store.rescan();
    }

    pub(crate) fn authorization(&self) -> AuthorizationServiceClient<Channel> {
        AuthorizationServiceClient::new(self.channel.clone())
    }

    pub(crate) fn policy_set(&self) -> PolicySetServiceClient<Channel> {
        PolicySetServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn authorize(
        &self,
        request: v1::AuthorizeRequest,
    ) -> Result<v1::AuthorizeResponse, Status> {
        self.authorization().authorize(request).await.map(tonic::Response::into_inner)
    }

    /// Status code and body of a page.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let code = text.split(' ').nth(1).unwrap().parse().unwrap();
        (code, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Begins the end and waits for it.
    pub(crate) async fn stop(mut self) -> Outcome {
        self.lifecycle.stop();
        tokio::time::timeout(SOON, &mut self.running).await.expect("the server ends").unwrap().unwrap()
    }

    /// Begins the end and does not wait.
    pub(crate) fn begin_stop(&self) {
        self.lifecycle.stop();
    }

    pub(crate) async fn ended(mut self) -> Outcome {
        tokio::time::timeout(SOON, &mut self.running).await.expect("the server ends").unwrap().unwrap()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) fn question(principal: &str, action: &str, resource: &str) -> v1::AuthorizeRequest {
    v1::AuthorizeRequest {
        principal: principal.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        ..v1::AuthorizeRequest::default()
    }
}

pub(crate) fn text(value: &str) -> v1::ContextValue {
    v1::ContextValue { value: Some(v1::context_value::Value::Text(value.to_owned())) }
}

/// The reason of an error, after checking that it is explained as promised.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"));
    assert_eq!(info.domain, "portcullis");
    assert_eq!(
        details.bad_request().is_some(),
        info.reason == "MALFORMED_REQUEST" || info.reason == "POLICIES_REJECTED"
    );
    info.reason.clone()
}

/// The fields that an error complains about.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(reason(status), "MALFORMED_REQUEST");
    let details = status.get_error_details();
    details.bad_request().unwrap().field_violations.iter().map(|violation| violation.field.clone()).collect()
}
