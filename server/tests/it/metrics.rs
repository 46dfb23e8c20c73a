//! The metrics page: it parses, its names stay, and each counter moves by exactly what was asked.

use portcullis_proto::v1;
use tonic::Code;

use crate::exposition::Page;
use crate::sidecar::{ALICE, BOB, ORDER, POLICIES, SOON, Sidecar, question};

const NAMES: &str = include_str!("metrics/names.txt");

async fn scrape(sidecar: &Sidecar) -> Page {
    let (code, text) = sidecar.page("/metrics").await;
    assert_eq!(code, 200);
    Page::read(&text)
}

/// Waits until the sample is one.
async fn until(sidecar: &Sidecar, sample: &str) {
    let one = async { while scrape(sidecar).await.value(sample) < 1.0 {} };
    tokio::time::timeout(SOON, one).await.unwrap_or_else(|_| panic!("never: {sample}"));
}

fn decisions(decision: &str, layer: &str, reason: &str) -> String {
    format!("portcullis_decisions_total{{decision={decision:?},layer={layer:?},reason={reason:?}}}")
}

fn calls(method: &str, code: &str) -> String {
    format!("portcullis_grpc_requests_total{{method={method:?},code={code:?}}}")
}

#[tokio::test]
async fn names_types_and_labels_are_the_documented_ones() {
    let state = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.state_directory = Some(state.path().join("state"));
    })
    .await;
    let page = scrape(&sidecar).await;
    let mut lines: Vec<String> = page
        .families
        .iter()
        .map(|(family, kind)| {
            let of_family = |key: &&String| key.split('{').next() == Some(family);
            let labels = page.samples.keys().find(of_family).and_then(|key| key.split_once('{'));
            let labels = labels.map_or(String::new(), |(_, labels)| {
                let names =
                    labels.trim_end_matches('}').split("\",").map(|label| label.split('=').next().unwrap());
                format!(" {}", names.collect::<Vec<_>>().join(","))
            });
            format!("{family} {kind}{labels}")
        })
        .collect();
    lines.sort();
    let documented: Vec<_> = NAMES.lines().collect();
    assert_eq!(lines, documented, "names are part of the contract: dashboards and alerts use them");
}

#[tokio::test]
async fn counters_move_by_exactly_what_was_asked() {
    let sidecar = Sidecar::start().await;
    let before = scrape(&sidecar).await;
    for _ in 0..3 {
        sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
    }
    for _ in 0..2 {
        sidecar.authorize(question(ALICE, "orders:DeleteOrder", ORDER)).await.unwrap();
    }
    sidecar.authorize(question(BOB, "orders:GetOrder", ORDER)).await.unwrap();
    let items = ["orders:GetOrder", "orders:DeleteOrder", "orders:PutOrder", "nonsense"];
    let batch = v1::BatchAuthorizeRequest {
        items: items
            .iter()
            .map(|action| v1::BatchAuthorizeItem {
                principal: ALICE.to_owned(),
                action: (*action).to_owned(),
                resource: ORDER.to_owned(),
                ..v1::BatchAuthorizeItem::default()
            })
            .collect(),
        ..v1::BatchAuthorizeRequest::default()
    };
    sidecar.authorization().batch_authorize(batch).await.unwrap();
    assert_eq!(
        sidecar.authorize(question("nobody", "x", "")).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let mut early = question(ALICE, "orders:GetOrder", ORDER);
    early.min_generation = 9;
    assert_eq!(sidecar.authorize(early).await.unwrap_err().code(), Code::FailedPrecondition);
    sidecar.policy_set().get_status(v1::GetStatusRequest {}).await.unwrap();

    let after = scrape(&sidecar).await;
    let moved = |sample: &str| after.value(sample) - before.value(sample);
    assert_eq!(moved(&decisions("Allow", "identity", "Allowed")), 4.0);
    assert_eq!(moved(&decisions("Deny", "identity", "ExplicitDeny")), 3.0);
    assert_eq!(moved(&decisions("Deny", "identity", "ImplicitDeny")), 2.0);
    let all = after.samples.keys().filter(|key| key.starts_with("portcullis_decisions_total"));
    assert_eq!(all.map(|key| moved(key)).sum::<f64>(), 9.0);
    assert_eq!(moved(&calls("Authorize", "OK")), 6.0);
    assert_eq!(moved(&calls("Authorize", "INVALID_ARGUMENT")), 1.0);
    assert_eq!(moved(&calls("Authorize", "FAILED_PRECONDITION")), 1.0);
    assert_eq!(moved(&calls("BatchAuthorize", "OK")), 1.0);
    assert_eq!(moved(&calls("GetStatus", "OK")), 1.0);
    assert_eq!(moved("portcullis_refusals_total{reason=\"MALFORMED_REQUEST\"}"), 2.0);
    assert_eq!(moved("portcullis_refusals_total{reason=\"GENERATION_NOT_ACTIVE\"}"), 1.0);
    assert_eq!(after.value("portcullis_grpc_requests_in_flight"), 0.0);
    assert_eq!(moved("portcullis_sheds_total") + moved("portcullis_panics_total"), 0.0);
    // One client, and the first decision of a thread is always timed.
    assert!(after.value("portcullis_connections") >= 1.0);
    assert!(moved("portcullis_engine_seconds_count") >= 1.0);
    assert!(after.value("portcullis_engine_seconds_sum") > 0.0);
}

#[tokio::test]
async fn reloads_and_staleness_show() {
    let sidecar = Sidecar::start().await;
    let page = scrape(&sidecar).await;
    let reloads = |result: &str| format!("portcullis_policy_reloads_total{{result={result:?}}}");
    assert_eq!(page.value(&reloads("published")), 1.0);
    assert_eq!((page.value("portcullis_ready"), page.value("portcullis_degraded")), (1.0, 0.0));
    assert_eq!(page.value("portcullis_policy_users"), 2.0);
    let revision = sidecar.store.current().unwrap().revision;
    let info = format!("portcullis_policy_info{{revision=\"{revision}\"}}");
    assert_eq!(page.value(&info), 1.0);
    assert_eq!(page.value("portcullis_policy_stale_seconds"), 0.0);

    sidecar.write("bad.json", "{");
    let mut statuses = sidecar.store.subscribe_status();
    statuses.wait_for(|status| status.rejection.is_some()).await.unwrap();
    let page = scrape(&sidecar).await;
    assert_eq!((page.value("portcullis_ready"), page.value("portcullis_degraded")), (1.0, 1.0));
    assert!(page.value("portcullis_policy_stale_seconds") > 0.0);
    assert!(page.value(&reloads("rejected")) >= 1.0);
    assert_eq!(page.value(&info), 1.0, "the served set is the same");
}

#[tokio::test]
async fn calls_under_way_and_calls_turned_away_are_counted() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.requests_in_flight_max = 1).await;
    let mut client = sidecar.policy_set();
    let wait = v1::WaitForRevisionRequest { revision: String::new(), min_generation: 9 };
    let waiting = tokio::spawn(async move { client.wait_for_revision(wait).await });
    until(&sidecar, "portcullis_grpc_requests_in_flight").await;
    for _ in 0..5 {
        let shed = sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap_err();
        assert_eq!(shed.code(), Code::ResourceExhausted);
    }
    let page = scrape(&sidecar).await;
    assert_eq!(page.value("portcullis_sheds_total"), 5.0);
    assert_eq!(page.value("portcullis_refusals_total{reason=\"OVERLOADED\"}"), 5.0);
    assert_eq!(page.value(&calls("Authorize", "RESOURCE_EXHAUSTED")), 5.0);
    assert_eq!(page.value("portcullis_grpc_requests_in_flight"), 1.0);

    // A call that its caller gives up is over, and counted as that.
    waiting.abort();
    until(&sidecar, &calls("WaitForRevision", "CANCELLED")).await;
    assert_eq!(scrape(&sidecar).await.value("portcullis_grpc_requests_in_flight"), 0.0);
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
}

#[tokio::test]
async fn refusals_of_every_service_are_counted() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.revision_wait_ms = 1).await;
    let mut client = sidecar.policy_set();
    let malformed = v1::WaitForRevisionRequest { revision: "none".to_owned(), min_generation: 0 };
    client.wait_for_revision(malformed).await.unwrap_err();
    let never = v1::WaitForRevisionRequest { revision: String::new(), min_generation: 9 };
    client.wait_for_revision(never).await.unwrap_err();
    client.watch_policy_set(v1::WatchPolicySetRequest::default()).await.unwrap_err();
    let page = scrape(&sidecar).await;
    for reason in ["MALFORMED_REQUEST", "REVISION_NOT_ACTIVE", "POLICY_SET_NOT_SHARED"] {
        assert_eq!(page.value(&format!("portcullis_refusals_total{{reason=\"{reason}\"}}")), 1.0, "{reason}");
    }
}

#[tokio::test]
async fn audit_records_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.audit_file = Some(file.clone())).await;
    let before = scrape(&sidecar).await;
    for _ in 0..3 {
        sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
    }
    let after = scrape(&sidecar).await;
    let moved = |sample: &str| after.value(sample) - before.value(sample);
    assert_eq!(moved("portcullis_audit_records_total"), 3.0);
    assert_eq!(
        (after.value("portcullis_audit_enabled"), after.value("portcullis_audit_healthy")),
        (1.0, 1.0)
    );
    let lost = after.samples.iter().filter(|(key, _)| key.starts_with("portcullis_audit_lost_total"));
    assert_eq!(lost.map(|(_, count)| count).sum::<f64>(), 0.0);
    assert!(after.value("portcullis_audit_queue_records_max") >= 1.0);
}

/// No text that a caller or a policy file chose is anywhere on the page.
#[tokio::test]
async fn nothing_that_a_caller_says_becomes_a_label() {
    let sidecar = Sidecar::start().await;
    let mut asked = question(ALICE, "orders:GetOrder", "arn:acme:orders:eu-1:111122223333:canary-resource");
    asked.context.insert("app:canary-key".to_owned(), crate::sidecar::text("canary-value"));
    sidecar.authorize(asked).await.unwrap();
    let path = "/canary.v1.Service/Method".parse().unwrap();
    let mut client = tonic::client::Grpc::new(sidecar.channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<v1::Counts, v1::Counts>::default();
    let unknown = client.unary(tonic::Request::new(v1::Counts::default()), path, codec).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
    let (_, text) = sidecar.page("/metrics").await;
    for word in ["canary", "alice", "orders", "111122223333", "policies.json"] {
        assert!(!text.contains(word), "{word}");
    }
    assert_eq!(Page::read(&text).value(&calls("other", "UNIMPLEMENTED")), 1.0);
}
