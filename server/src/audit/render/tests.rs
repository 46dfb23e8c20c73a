//! What a record looks like, and that nothing a caller sends makes it look otherwise.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::capture::{self, Cut};
use crate::audit::loss::{Gap, Loss};
use crate::audit::mask::{Verdict, is_secret_value};
use crate::audit::service::{Happening, ServiceEvent};
use crate::audit::tests::sample::{Sample, SampleSession};
use crate::audit::text_limits::{CONTEXT_BYTES_MAX, LIST_VALUES_MAX, STATEMENTS_MAX, VALUE_BYTES_MAX};

fn renderer() -> Renderer {
    Renderer::new(Mask::new("*", "app:pin"), ".amazonaws.com".to_owned(), 1, "boot-1")
}

fn line(sample: &Sample) -> String {
    let mut entry = Vec::new();
    sample.decided(|decided| capture::decision(&mut entry, decided));
    rendered(&entry)
}

fn rendered(entry: &[u8]) -> String {
    let mut out = Vec::new();
    renderer().line(&mut out, 7, entry).unwrap();
    let line = String::from_utf8(out).unwrap();
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{202e}'), "{line}");
    line.to_owned()
}

/// The record, without the id that differs every time.
fn record(sample: &Sample) -> Value {
    let mut value: Value = serde_json::from_str(&line(sample)).unwrap();
    let id = value.as_object_mut().unwrap().remove("eventID").unwrap();
    let id: uuid::Uuid = id.as_str().unwrap().parse().unwrap();
    assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
    assert_eq!(id.get_timestamp().unwrap().to_unix().0, 1_764_057_395);
    value
}

#[test]
fn what_is_hidden_in_the_context_stands_nowhere_else() {
    let texts =
        [("aws:SourceIp", "10.1.2.3"), ("aws:UserAgent", "Bearer canary"), ("AWS:requestedregion", "moon-1")];
    let texts = texts.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let resource = "arn:aws:s3:::bucket".to_owned();
    let mut entry = Vec::new();
    Sample { texts, resource, ..Sample::default() }.decided(|decided| capture::decision(&mut entry, decided));
    let mut out = Vec::new();
    let mask = Mask::new("*", "aws:SourceIp, aws:RequestedRegion");
    Renderer::new(mask, String::new(), 1, "boot-1").line(&mut out, 7, &entry).unwrap();
    let line = String::from_utf8(out).unwrap();
    for hidden in ["10.1.2.3", "canary", "moon-1"] {
        assert!(!line.contains(hidden), "{line}");
    }
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["userAgent"], "grpc-rust/1", "who asked the service is no secret");
}

#[test]
fn an_allow_is_a_cloudtrail_event() {
    let expected = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": "arn:aws:iam::111122223333:user/sales/alice",
            "accountId": "111122223333", "userName": "alice"
        },
        "eventTime": "2025-11-25T07:56:35Z",
        "eventSource": "orders.amazonaws.com",
        "eventName": "GetOrder",
        "awsRegion": "eu-1",
        "sourceIPAddress": "10.1.2.3",
        "userAgent": "grpc-rust/1",
        "requestParameters": {
            "context": {
                "aws:SourceIp": "10.1.2.3", "app:Tenant": "blue", "aws:TagKeys": ["team", "cost"],
                "aws:SecureTransport": true
            }
        },
        "requestID": "0192f0c1-0000-7000-8000-000000000001",
        "readOnly": true,
        "resources": [{"ARN": "arn:acme:orders:eu-1:111122223333:order/42", "accountId": "111122223333"}],
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333",
        "additionalEventData": {
            "decision": "Allow", "reason": "Allowed", "layer": "identity",
            "determiningStatements": [{
                "policyId": "arn:aws:iam::111122223333:user/sales/alice/orders", "sid": "Read", "index": 2,
                "file": "policies.json", "line": 7, "column": 9, "layer": "identity"
            }],
            "revision": "abcd", "generation": 3, "latencyNs": 412,
            "peer": "127.0.0.1", "timeMicros": 1_764_057_395_123_456_u64, "bootId": "boot-1", "sequence": 7
        }
    });
    assert_eq!(record(&Sample::default()), expected);
}

#[test]
fn a_deny_carries_the_error_and_what_was_missing() {
    let record = record(&Sample::deny());
    assert_eq!(record["errorCode"], "AccessDenied");
    assert_eq!(record["errorMessage"], "User: alice is not authorized to perform: orders:DeleteOrder");
    assert_eq!(record["readOnly"], false);
    let additional = &record["additionalEventData"];
    assert_eq!((&additional["decision"], &additional["reason"]), (&json!("Deny"), &json!("ExplicitDeny")));
    assert_eq!(additional["missingContextKeys"], json!(["aws:MultiFactorAuthPresent"]));
    assert!(serde_json::from_str::<Value>(&line(&Sample::default())).unwrap().get("errorCode").is_none());
}

#[test]
fn every_kind_of_principal_has_its_cloudtrail_type() {
    let identity = |principal: &str| {
        let sample = Sample { principal: principal.to_owned(), principal_id: None, ..Sample::default() };
        record(&sample)["userIdentity"].take()
    };
    assert_eq!(
        identity("arn:aws:iam::111122223333:root"),
        json!({"type": "Root", "principalId": "111122223333", "arn": "arn:aws:iam::111122223333:root",
               "accountId": "111122223333"})
    );
    assert_eq!(
        identity("arn:aws:sts::111122223333:assumed-role/worker/job-1"),
        json!({"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/worker/job-1",
               "accountId": "111122223333", "sessionContext": {
                   "sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/worker",
                                     "accountId": "111122223333", "userName": "worker"},
                   "attributes": {"mfaAuthenticated": "false"}}})
    );
    assert_eq!(identity("arn:aws:iam::111122223333:role/a/worker")["type"], "Role");
    assert_eq!(
        identity("arn:aws:sts::111122223333:federated-user/bob"),
        json!({"type": "FederatedUser", "principalId": "111122223333:bob",
               "arn": "arn:aws:sts::111122223333:federated-user/bob", "accountId": "111122223333"})
    );
    assert_eq!(
        identity("ec2.amazonaws.com"),
        json!({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"})
    );
    assert_eq!(
        identity("anonymous"),
        json!({"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"})
    );
    assert_eq!(identity("arn:aws:iam::111122223333:saml-provider/okta")["type"], "SAMLUser");
    assert_eq!(identity("arn:aws:iam::111122223333:oidc-provider/x.example")["type"], "WebIdentityUser");
}

#[test]
fn a_session_is_told_of() {
    let sample = Sample {
        principal: "arn:aws:sts::111122223333:assumed-role/worker/job-1".to_owned(),
        principal_id: Some("AROAEXAMPLE".to_owned()),
        session: Some(SampleSession {
            tags: vec![
                ("team".to_owned(), "blue".to_owned()),
                ("dbPassword".to_owned(), "hunter2".to_owned()),
            ],
            policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned()],
            source_identity: Some("alice".to_owned()),
            federated_provider: Some("accounts.google.com".to_owned()),
            mfa: true,
        }),
        ..Sample::default()
    };
    let record = record(&sample);
    assert_eq!(record["userIdentity"]["principalId"], "AROAEXAMPLE:job-1");
    let context = &record["userIdentity"]["sessionContext"];
    assert_eq!(
        context["sessionIssuer"],
        json!({"type": "Role", "principalId": "AROAEXAMPLE", "arn": "arn:aws:iam::111122223333:role/jobs/worker",
               "accountId": "111122223333", "userName": "worker"})
    );
    assert_eq!(context["sourceIdentity"], "alice");
    assert_eq!(context["webIdFederationData"]["federatedProvider"], "accounts.google.com");
    let attributes = json!({"creationDate": "2025-11-25T07:50:00Z", "mfaAuthenticated": "true"});
    assert_eq!(context["attributes"], attributes);
    assert_eq!(
        record["requestParameters"]["session"],
        json!({"inlinePolicies": false, "policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
               "tags": {"team": "blue", "dbPassword": "HIDDEN_DUE_TO_SECURITY_REASONS"}})
    );
}

#[test]
fn secrets_are_hidden_wherever_they_stand() {
    let (canary, hidden) = ("canary-7f3a", "HIDDEN_DUE_TO_SECURITY_REASONS");
    let sample = Sample {
        texts: vec![
            ("app:Password".to_owned(), canary.to_owned()),
            ("x-api-key".to_owned(), canary.to_owned()),
            ("app:PIN".to_owned(), canary.to_owned()),
            ("app:note".to_owned(), format!("Bearer {canary}")),
        ],
        lists: vec![("app:tokens".to_owned(), vec![canary.to_owned(), canary.to_owned()])],
        flags: vec![("app:secret-flag".to_owned(), true)],
        session: Some(SampleSession {
            tags: vec![("api_key".to_owned(), canary.to_owned())],
            ..SampleSession::default()
        }),
        ..Sample::default()
    };
    let line = line(&sample);
    assert!(!line.contains(canary), "{line}");
    let record: Value = serde_json::from_str(&line).unwrap();
    let context = &record["requestParameters"]["context"];
    for key in ["app:Password", "x-api-key", "app:PIN", "app:note", "app:secret-flag"] {
        assert_eq!(context[key], hidden, "{key}");
    }
    assert_eq!(context["app:tokens"], json!([hidden, hidden]));
}

#[test]
fn only_chosen_context_is_shown() {
    let mut entry = Vec::new();
    Sample::default().decided(|decided| capture::decision(&mut entry, decided));
    let mut out = Vec::new();
    let mask = Mask::new("aws:*", "");
    let mut renderer = Renderer::new(mask, String::new(), 4, "boot-1");
    renderer.line(&mut out, 1, &entry).unwrap();
    let record: Value = serde_json::from_slice(&out).unwrap();
    let mut keys: Vec<_> = record["requestParameters"]["context"].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["aws:SecureTransport", "aws:SourceIp", "aws:TagKeys"]);
    assert_eq!(record["eventSource"], "orders");
    assert_eq!(record["additionalEventData"]["allowOneIn"], 4);
    assert!(record["additionalEventData"].get("truncated").is_none());
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let cut = |sample: &Sample| {
        let record = record(sample);
        assert_eq!(record["additionalEventData"]["truncated"], true);
        record
    };
    let long = "ä".repeat(VALUE_BYTES_MAX);
    let one = Sample { texts: vec![("k".to_owned(), long.clone())], ..Sample::default() };
    let value = cut(&one)["requestParameters"]["context"]["k"].as_str().unwrap().to_owned();
    let kept = "ä".repeat(VALUE_BYTES_MAX / 2);
    assert_eq!(value, format!("{kept}...[truncated: {VALUE_BYTES_MAX} more bytes]"));

    let many = vec!["x".to_owned(); LIST_VALUES_MAX + 3];
    let list = Sample { lists: vec![("k".to_owned(), many)], ..Sample::default() };
    let values = cut(&list)["requestParameters"]["context"]["k"].take();
    assert_eq!(values.as_array().unwrap().len(), LIST_VALUES_MAX + 1);
    assert_eq!(values[LIST_VALUES_MAX], "...[truncated: 3 more values]");

    let texts: Vec<_> = (0..200).map(|number| (format!("k{number}"), "x".repeat(500))).collect();
    let wide = Sample { texts, lists: Vec::new(), flags: Vec::new(), ..Sample::default() };
    let parameters = cut(&wide)["requestParameters"].take();
    let shown = parameters["context"].as_object().unwrap().len();
    assert!((CONTEXT_BYTES_MAX / 520..200).contains(&shown), "{shown}");
    assert_eq!(parameters["omittedContextKeys"], 200 - shown);

    let statements = Sample { statements: STATEMENTS_MAX + 1, ..Sample::default() };
    let shown = cut(&statements)["additionalEventData"]["determiningStatements"].take();
    assert_eq!(shown.as_array().unwrap().len(), STATEMENTS_MAX);
    let at_the_limit = Sample { statements: STATEMENTS_MAX, ..Sample::default() };
    assert!(record(&at_the_limit)["additionalEventData"].get("truncated").is_none());
}

#[test]
fn a_record_without_places_of_its_own_says_less() {
    let sample = Sample {
        principal: "anonymous".to_owned(),
        principal_id: None,
        action: "orders:ListOrders".to_owned(),
        resource: "*".to_owned(),
        texts: Vec::new(),
        user_agent: String::new(),
        latency: None,
        ..Sample::default()
    };
    let record = record(&sample);
    for absent in ["awsRegion", "userAgent", "resources", "recipientAccountId"] {
        assert!(record.get(absent).is_none(), "{absent}");
    }
    assert_eq!(record["sourceIPAddress"], "127.0.0.1");
    assert!(record["additionalEventData"].get("latencyNs").is_none());
}

#[test]
fn happenings_and_gaps_are_service_events() {
    let at = Instant::new(1_764_057_395, 0);
    let mut entry = Vec::new();
    ServiceEvent::new(Happening::PoliciesRejected)
        .with("generation", 3)
        .with("findings", vec!["a.json:1:2 \u{1b}[31m".to_owned()])
        .failed("PoliciesRejected", "1 error")
        .write(&mut entry, at);
    let record: Value = serde_json::from_str(&rendered(&entry)).unwrap();
    assert_eq!(record["eventName"], "RejectPolicies");
    assert_eq!(record["eventType"], "AwsServiceEvent");
    assert_eq!(record["errorCode"], "PoliciesRejected");
    assert_eq!(record["serviceEventDetails"]["findings"], json!(["a.json:1:2 \u{1b}[31m"]));

    let mut entry = Vec::new();
    crate::audit::service::header(&mut entry, Kind::Gap, at);
    Gap::of(Loss::QueueFull, 5, 9, 4).merged(Some(Gap::of(Loss::NotSynced, 2, 6, 1))).write(&mut entry);
    let record: Value = serde_json::from_str(&rendered(&entry)).unwrap();
    assert_eq!(
        record["serviceEventDetails"],
        json!({"firstSequence": 2, "lastSequence": 9, "lost": 5, "reasons": {"queue_full": 4, "not_synced": 1}})
    );
}

#[test]
fn an_entry_that_ends_early_is_no_record() {
    let mut entry = Vec::new();
    Sample::deny().decided(|decided| capture::decision(&mut entry, decided));
    for length in 0..entry.len() {
        let mut out = b"before".to_vec();
        assert!(renderer().line(&mut out, 1, entry.get(..length).unwrap()).is_none(), "{length}");
        assert_eq!(out, b"before");
    }
}

/// One renderer for all gives what a new one for each gives: no piece that is kept passes for another.
#[test]
fn pieces_that_are_kept_are_those_of_the_record() {
    let addressed = |address: &str| vec![("aws:SourceIp".to_owned(), address.to_owned())];
    let named = |name: &str| vec![("aws:UserAgent".to_owned(), name.to_owned())];
    let elsewhere = vec![("aws:RequestedRegion".to_owned(), "eu-2".to_owned())];
    let samples = [
        Sample::default(),
        Sample::deny(),
        Sample { user_agent: "other/2".to_owned(), ..Sample::default() },
        Sample { user_agent: "x".repeat(VALUE_BYTES_MAX + 1), ..Sample::default() },
        Sample { texts: addressed("10.0.0.1"), ..Sample::default() },
        Sample { texts: addressed("10.0.0.2"), ..Sample::deny() },
        Sample { texts: named("browser"), ..Sample::default() },
        Sample { texts: elsewhere, resource: "arn:acme:orders:::order/42".to_owned(), ..Sample::default() },
        Sample { texts: Vec::new(), lists: Vec::new(), flags: Vec::new(), ..Sample::default() },
        Sample { statements: 0, ..Sample::default() },
    ];
    let mut shared = renderer();
    let order = (0..3).flat_map(|_| 0..samples.len()).chain((0..samples.len()).flat_map(|at| [at, at]));
    for at in order {
        let mut entry = Vec::new();
        samples[at].decided(|decided| capture::decision(&mut entry, decided));
        let mut out = Vec::new();
        shared.line(&mut out, 7, &entry).unwrap();
        let without_id = |line: &[u8]| {
            let mut record: Value = serde_json::from_slice(line).unwrap();
            record["eventID"].take();
            record
        };
        assert_eq!(without_id(&out), without_id(rendered(&entry).as_bytes()), "sample {at}");
    }
}

#[test]
fn ids_do_not_repeat() {
    let ids = Ids { seed: 42 };
    let mut seen = std::collections::HashSet::new();
    for sequence in 0..10_000 {
        let mut out = Vec::new();
        ids.render(&mut out, Instant::new(1, 0), sequence);
        assert!(seen.insert(out));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever a caller sends: one line of JSON that gives back the same texts.
    #[test]
    fn hostile_texts_come_back_as_they_were(
        principal in any::<String>(),
        action in any::<String>(),
        resource in any::<String>(),
        key in "[\\x00-\\x1f\"\\\\\\x7f-\\u{a0}\\u{2028}\\u{202e}\\u{feff}a-z]{1,20}",
        value in any::<String>(),
        more in prop::collection::vec(any::<String>(), 0..5),
        sid in any::<String>(),
        message in any::<String>(),
        request_id in any::<String>(),
        agent in any::<String>(),
    ) {
        let mut sample = Sample::deny();
        let principal = format!("arn:{principal}");
        sample.principal.clone_from(&principal);
        sample.action.clone_from(&action);
        sample.resource.clone_from(&resource);
        sample.texts = vec![(key.clone(), value.clone())];
        sample.lists = vec![("list".to_owned(), more.clone())];
        sample.session = Some(SampleSession { source_identity: Some(value.clone()), ..SampleSession::default() });
        sample.sid.clone_from(&sid);
        sample.message.clone_from(&message);
        sample.request_id.clone_from(&request_id);
        sample.user_agent.clone_from(&agent);
        let record: Value = serde_json::from_str(&line(&sample)).unwrap();
        if resource != "*" {
            prop_assert_eq!(&record["resources"][0]["ARN"], &json!(resource));
        }
        let secret = |text: &String| is_secret_value(text.as_bytes());
        if Mask::new("*", "").verdict(Cut { text: key.as_bytes(), missing: 0 }) == Verdict::Show && !secret(&value) {
            prop_assert_eq!(&record["requestParameters"]["context"][&key], &json!(value));
        }
        if !more.iter().any(secret) {
            prop_assert_eq!(&record["requestParameters"]["context"]["list"], &json!(more));
        }
        prop_assert_eq!(&record["errorMessage"], &json!(message));
        prop_assert_eq!(&record["requestID"], &json!(request_id));
        if !sid.is_empty() {
            prop_assert_eq!(&record["additionalEventData"]["determiningStatements"][0]["sid"], &json!(sid));
        }
        if !agent.is_empty() {
            prop_assert_eq!(&record["userAgent"], &json!(agent));
        }
        let name = action.split_once(':').map_or(action.as_str(), |(_, name)| name);
        prop_assert_eq!(&record["eventName"], &json!(name));
    }
}

#[test]
fn a_list_of_which_nothing_is_left_is_good_json() {
    let mut out = Vec::new();
    assert_eq!(values::text_list(&mut out, false, &mut Reader::new(&[16, 0])), Some(true));
    assert_eq!(out, br#"["...[truncated: 16 more values]"]"#);
}
