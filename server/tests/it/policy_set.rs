//! PolicySetService, health, the pages, and how they change with the policy directory.

use std::time::Duration;

use portcullis_proto::v1;
use portcullis_server::Reflection;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;

use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, fields, question, reason};

const SERVICES: [&str; 3] = ["", "portcullis.v1.AuthorizationService", "portcullis.v1.PolicySetService"];

async fn health(sidecar: &Sidecar, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(sidecar.channel.clone()).check(request).await.unwrap().into_inner().status()
}

async fn until_serving(sidecar: &Sidecar) {
    let serving = async {
        while health(sidecar, "").await != ServingStatus::Serving {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, serving).await.expect("the service serves");
}

#[tokio::test]
async fn nothing_is_answered_before_the_first_policy_set() {
    let sidecar = Sidecar::configured(None, |_| {}).await;
    let status = sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NO_POLICY_SET"));
    for service in SERVICES {
        assert_eq!(health(&sidecar, service).await, ServingStatus::NotServing, "{service}");
    }
    assert_eq!(sidecar.page("/livez").await.0, 200);
    assert_eq!(sidecar.page("/readyz").await.0, 503);
    let before = sidecar.policy_set().get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((before.generation, before.revision.as_str(), before.loaded_at), (0, "", None));

    sidecar.write("policies.json", POLICIES);
    sidecar.loaded(1).await;
    until_serving(&sidecar).await;
    for service in SERVICES {
        assert_eq!(health(&sidecar, service).await, ServingStatus::Serving, "{service}");
    }
    assert_eq!(sidecar.page("/readyz").await.0, 200);
    let response = sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
    assert_eq!(response.decision(), v1::Decision::Allow);
}

#[tokio::test]
async fn the_status_tells_what_is_active_and_what_was_rejected() {
    let sidecar = Sidecar::start().await;
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
    let mut client = sidecar.policy_set();
    let status = client.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
    let counts = status.counts.unwrap();
    assert_eq!((counts.users, counts.statements), (2, 3));
    assert!(status.last_rejection.is_none() && status.loaded_at.is_some());

    let mut statuses = sidecar.store.subscribe_status();
    sidecar.write("broken.json", "{");
    let rejected = statuses.wait_for(|status| status.rejection.is_some());
    tokio::time::timeout(SOON, rejected).await.expect("the broken file is found").unwrap();
    let after = client.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((after.generation, &after.revision), (1, &status.revision));
    let rejection = after.last_rejection.unwrap();
    let diagnostic = rejection.diagnostics.first().unwrap();
    assert_eq!((diagnostic.file.as_str(), diagnostic.severity()), ("broken.json", v1::Severity::Error));

    let (code, page) = sidecar.page("/status").await;
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!((code, &page["generation"], &page["revision"]), (200, &1.into(), &status.revision.into()));
    assert_eq!(page["rejection"]["diagnostics"][0]["file"], "broken.json");
    assert_eq!(page["answered"]["allowed"], 1);
    assert_eq!(sidecar.page("/readyz").await.0, 200, "what was loaded before still answers");
}

#[tokio::test]
async fn revisions_are_watched_and_waited_for() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.revision_wait_ms = 200).await;
    let mut client = sidecar.policy_set();
    let mut revisions = client.watch_revisions(v1::WatchRevisionsRequest {}).await.unwrap().into_inner();
    let first = revisions.next().await.unwrap().unwrap();
    assert_eq!(first.generation, 1);

    let wait = |revision: &str, min_generation| v1::WaitForRevisionRequest {
        revision: revision.to_owned(),
        min_generation,
    };
    let waited = client.wait_for_revision(wait(&first.revision, 1)).await.unwrap().into_inner();
    assert_eq!((waited.revision.as_str(), waited.generation), (first.revision.as_str(), 1));
    let status = client.wait_for_revision(wait("", 9)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "REVISION_NOT_ACTIVE"));
    assert_eq!(fields(&client.wait_for_revision(wait("nonsense", 0)).await.unwrap_err()), ["revision"]);

    sidecar.write("more.json", r#"{"UserDetailList": [{"Arn": "arn:aws:iam::111122223333:user/dora"}]}"#);
    let second =
        tokio::time::timeout(SOON, revisions.next()).await.expect("a new revision").unwrap().unwrap();
    assert_eq!(second.generation, 2);
    assert_ne!(second.revision, first.revision);
    client.wait_for_revision(wait(&second.revision, 2)).await.unwrap();
}

#[tokio::test]
async fn a_wait_ends_when_the_revision_comes() {
    let sidecar = Sidecar::start().await;
    let mut client = sidecar.policy_set();
    let wait = v1::WaitForRevisionRequest { revision: String::new(), min_generation: 2 };
    let waiting = tokio::spawn(async move { client.wait_for_revision(wait).await });
    sidecar.write("more.json", r#"{"UserDetailList": [{"Arn": "arn:aws:iam::111122223333:user/dora"}]}"#);
    let waited = tokio::time::timeout(SOON, waiting).await.expect("the wait ends").unwrap().unwrap();
    assert_eq!(waited.into_inner().generation, 2);
}

#[tokio::test]
async fn both_places_of_what_stands_twice_are_told() {
    let audit = tempfile::tempdir().unwrap();
    let file = audit.path().join("audit");
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.audit_file = Some(file.clone())).await;
    sidecar.write("twice.json", POLICIES);
    let told = async {
        loop {
            let status = sidecar.policy_set().get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
            if let Some(rejection) = status.last_rejection {
                return rejection.diagnostics;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(SOON, told).await.expect("the directory is refused");
    let twice = told.iter().find(|found| found.code == "duplicate-entity").unwrap();
    assert_eq!(twice.file, "twice.json");
    assert!(twice.message.contains(": policies.json:3:"), "{twice:?}");
    assert!(sidecar.page("/status").await.1.contains(&twice.message));
    sidecar.stop().await;
    assert!(std::fs::read_to_string(file).unwrap().contains(&twice.message));
}

#[tokio::test]
async fn reflection_is_there_unless_switched_off() {
    let list = || MessageRequest::ListServices(String::new());
    let question = ServerReflectionRequest { host: String::new(), message_request: Some(list()) };
    let with = Sidecar::start().await;
    let mut client = ServerReflectionClient::new(with.channel.clone());
    let mut answers =
        client.server_reflection_info(tokio_stream::once(question.clone())).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    for service in SERVICES.iter().filter(|name| !name.is_empty()) {
        assert!(names.iter().any(|name| name == service), "{service} in {names:?}");
    }
    let old = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(with.channel.clone());
    assert!(client.server_reflection_info(tokio_stream::once(old)).await.is_ok());

    let without = Sidecar::configured(Some(POLICIES), |config| config.reflection = Reflection::Off).await;
    let mut client = ServerReflectionClient::new(without.channel.clone());
    let status = client.server_reflection_info(tokio_stream::once(question)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNIMPLEMENTED"));
}
