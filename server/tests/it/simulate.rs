//! Simulate: policies given in the call.

use portcullis_proto::v1;
use prost_types::Timestamp;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::sidecar::{ALICE, BOB, ORDER, Sidecar, question, reason, text};

fn grant(name: &str) -> Vec<u8> {
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"orders:GetOrder","Resource":"*"}}"#;
    format!(
        r#"{{"UserDetailList": [{{"UserName": "{name}", "Arn": "arn:aws:iam::111122223333:user/{name}",
            "UserPolicyList": [{{"PolicyName": "p", "PolicyDocument": {document}}}]}}]}}"#
    )
    .into_bytes()
}

fn simulation(principal: &str, directory: Vec<u8>, mode: v1::DirectoryMode) -> v1::SimulateRequest {
    v1::SimulateRequest {
        request: Some(question(principal, "orders:GetOrder", ORDER)),
        directory_json: directory,
        directory_mode: mode.into(),
        current_time: None,
    }
}

const CAROL: &str = "arn:aws:iam::111122223333:user/carol";

#[tokio::test]
async fn a_directory_is_laid_over_or_stands_alone() {
    let sidecar = Sidecar::start().await;
    let ask = async |principal: &str, mode| {
        let message = simulation(principal, grant("carol"), mode);
        let response =
            sidecar.authorization().simulate(message).await.unwrap().into_inner().response.unwrap();
        (response.decision(), response.generation)
    };
    use v1::Decision::{Allow, Deny};
    use v1::DirectoryMode::{Overlay, Replace};
    assert_eq!(ask(CAROL, Overlay).await, (Allow, 1));
    assert_eq!(ask(ALICE, Overlay).await, (Allow, 1));
    assert_eq!(ask(CAROL, Replace).await, (Allow, 0));
    assert_eq!(ask(ALICE, Replace).await, (Deny, 0));
    // Nothing of it stays.
    let response = sidecar.authorize(question(CAROL, "orders:GetOrder", ORDER)).await.unwrap();
    assert_eq!(response.decision(), Deny);
}

#[tokio::test]
async fn without_a_directory_it_is_the_active_set() {
    let sidecar = Sidecar::start().await;
    for (principal, decision) in [(ALICE, v1::Decision::Allow), (BOB, v1::Decision::Deny)] {
        let message = simulation(principal, Vec::new(), v1::DirectoryMode::Unspecified);
        let response =
            sidecar.authorization().simulate(message).await.unwrap().into_inner().response.unwrap();
        assert_eq!((response.decision(), response.generation), (decision, 1));
    }
}

#[tokio::test]
async fn keys_of_the_service_and_its_clock_may_be_set() {
    let sidecar = Sidecar::start().await;
    let directory = r#"{"UserDetailList": [{"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice",
        "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {
                "DateLessThan": {"aws:CurrentTime": "1990-01-01T00:00:00Z"},
                "StringEquals": {"aws:PrincipalTag/team": "blue"}}}}}]}]}"#;
    let mut message = simulation(ALICE, directory.as_bytes().to_vec(), v1::DirectoryMode::Replace);
    message.current_time = Some(Timestamp { seconds: 86_400, nanos: 0 });
    let request = message.request.as_mut().unwrap();
    request.context.insert("aws:PrincipalTag/team".to_owned(), text("blue"));
    request.detail = v1::Detail::Trace.into();
    let response = sidecar.authorization().simulate(message.clone()).await.unwrap().into_inner();
    assert_eq!(response.overridden_keys, ["aws:PrincipalTag/team"]);
    let answer = response.response.unwrap();
    assert_eq!(answer.decision(), v1::Decision::Allow);
    assert!(answer.trace.is_some());
    message.current_time = None;
    let answer = sidecar.authorization().simulate(message).await.unwrap().into_inner().response.unwrap();
    assert_eq!(answer.decision(), v1::Decision::Deny);
}

#[tokio::test]
async fn policies_that_do_not_load_are_told_with_their_places() {
    let sidecar = Sidecar::start().await;
    for (directory, mode) in [
        (br#"{"UserDetailLst": []}"#.to_vec(), v1::DirectoryMode::Replace),
        (b"{".to_vec(), v1::DirectoryMode::Overlay),
        // Alice is loaded already.
        (grant("alice"), v1::DirectoryMode::Overlay),
    ] {
        let status = sidecar.authorization().simulate(simulation(ALICE, directory, mode)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "POLICIES_REJECTED"));
        let details = status.get_error_details();
        let violation = details.bad_request().unwrap().field_violations.first().unwrap();
        assert_eq!(violation.field, "directory_json");
        assert!(violation.description.contains(":1:"), "{}", violation.description);
    }
    let mut unknown = simulation(ALICE, Vec::new(), v1::DirectoryMode::Overlay);
    unknown.directory_mode = 9;
    let status = sidecar.authorization().simulate(unknown).await.unwrap_err();
    assert_eq!(crate::sidecar::fields(&status), ["directory_mode"]);
}
