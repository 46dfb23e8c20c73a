//! The audit trail of a server over real sockets and real files: one record for every decision, whatever happens.

mod disk;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_proto::v1;
use portcullis_server::Config;
use portcullis_server::audit::verify::{FindingKind, Report, Verifier, older_files};
use portcullis_server::audit::{AuditFailure, AuditMode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use crate::raw::{AUTHORIZE, BATCH, PLAIN, ROUTED, Raw, STREAM, framed, send_all};
use crate::sidecar::{ALICE, BOB, ORDER, POLICIES, SOON, Sidecar, question, reason, text};

/// A directory for audit files and a sidecar that writes there.
struct Audited {
    sidecar: Sidecar,
    files: TempDir,
}

impl Audited {
    async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("audit.jsonl");
        let sidecar = Sidecar::configured(Some(POLICIES), |config| {
            config.audit_file = Some(file);
            // A loaded machine is no reason for a loss.
            config.audit_wait_ms = 30_000;
            config.audit_sync_ms = 30_000;
            adjust(config);
        })
        .await;
        Self { sidecar, files }
    }

    fn file(&self) -> PathBuf {
        self.files.path().join("audit.jsonl")
    }

    /// Ends the sidecar, and gives every line it wrote.
    async fn end(self) -> (Vec<Value>, Report) {
        let file = self.file();
        self.sidecar.stop().await;
        (lines(&file), verified(&file))
    }
}

fn texts(file: &Path) -> Vec<String> {
    let files = older_files(file).unwrap().into_iter().chain([file.to_owned()]);
    files.map(|file| fs::read_to_string(file).unwrap()).collect()
}

fn lines(file: &Path) -> Vec<Value> {
    let texts = texts(file);
    texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verified(file: &Path) -> Report {
    let mut verifier = Verifier::new();
    for text in texts(file) {
        for (at, line) in text.lines().enumerate() {
            verifier.line("audit", at as u64 + 1, line.as_bytes());
        }
    }
    verifier.finish()
}

/// The request ids of the recorded decisions; none twice.
fn recorded(lines: &[Value]) -> BTreeSet<String> {
    let decisions = lines.iter().filter(|line| line["eventType"] == "AwsApiCall");
    let mut ids = BTreeSet::new();
    for line in decisions {
        let id = line["requestID"].as_str().unwrap().to_owned();
        assert!(ids.insert(id), "{line} is there twice");
    }
    ids
}

fn happenings(lines: &[Value]) -> Vec<&str> {
    let of_service = lines.iter().filter(|line| line["eventType"] == "AwsServiceEvent");
    of_service.map(|line| line["eventName"].as_str().unwrap()).collect()
}

fn batch(items: Vec<v1::BatchAuthorizeItem>) -> v1::BatchAuthorizeRequest {
    v1::BatchAuthorizeRequest { principal: ALICE.to_owned(), items, ..v1::BatchAuthorizeRequest::default() }
}

fn item(action: &str) -> v1::BatchAuthorizeItem {
    let (action, resource) = (action.to_owned(), ORDER.to_owned());
    v1::BatchAuthorizeItem { action, resource, ..v1::BatchAuthorizeItem::default() }
}

async fn stream(sidecar: &Sidecar, count: usize) -> Vec<String> {
    let asked = (0..count).map(|number| v1::AuthorizeStreamRequest {
        correlation_id: number.to_string(),
        request: Some(question(ALICE, "orders:GetOrder", ORDER)),
    });
    let asked = tokio_stream::iter(asked.collect::<Vec<_>>());
    let mut answers = sidecar.authorization().authorize_stream(asked).await.unwrap().into_inner();
    let mut ids = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        match answer.result.unwrap().result.unwrap() {
            v1::authorize_result::Result::Response(response) => ids.push(response.request_id),
            v1::authorize_result::Result::Error(error) => panic!("{error:?}"),
        }
    }
    ids
}

#[tokio::test]
async fn every_decision_of_every_call_leaves_one_record() {
    let audited = Audited::start(|config| config.audit_chain = true).await;
    let sidecar = &audited.sidecar;
    let mut told = BTreeSet::new();
    for (principal, action) in
        [(ALICE, "orders:GetOrder"), (ALICE, "orders:DeleteOrder"), (BOB, "orders:GetOrder")]
    {
        for detail in [v1::Detail::None, v1::Detail::Statements, v1::Detail::Trace] {
            let request =
                v1::AuthorizeRequest { detail: detail.into(), ..question(principal, action, ORDER) };
            told.insert(sidecar.authorize(request).await.unwrap().request_id);
        }
    }
    // No decision, no record.
    sidecar.authorize(question("nobody", "orders:GetOrder", ORDER)).await.unwrap_err();
    let items =
        vec![item("orders:GetOrder"), item("malformed"), item("orders:PutOrder"), item("orders:DeleteOrder")];
    let results = sidecar.authorization().batch_authorize(batch(items)).await.unwrap().into_inner().results;
    for result in results {
        if let Some(v1::authorize_result::Result::Response(response)) = result.result {
            told.insert(response.request_id);
        }
    }
    told.extend(stream(sidecar, 50).await);
    assert_eq!(told.len(), 9 + 3 + 50);

    let (lines, report) = audited.end().await;
    assert_eq!(recorded(&lines), told);
    assert_eq!(happenings(&lines), ["StartServer", "ReloadPolicies", "StopServer"]);
    let settings = lines[0]["serviceEventDetails"]["settings"].as_array().unwrap();
    assert!(settings.contains(&json!("audit_chain = true")), "{settings:?}");
    assert!(report.is_sound() && report.chained == report.lines, "{report:?}");
    assert!(report.processes[0].ended);
}

#[tokio::test]
async fn a_record_says_what_the_answer_said() {
    let audited = Audited::start(|_| {}).await;
    let mut request = question(ALICE, "orders:DeleteOrder", ORDER);
    request.detail = v1::Detail::Statements.into();
    request.context.insert("aws:SourceIp".to_owned(), text("10.1.2.3"));
    request.context.insert("app:password".to_owned(), text("canary-7f3a"));
    let answer = audited.sidecar.authorize(request).await.unwrap();
    let (lines, _) = audited.end().await;
    let record = lines.iter().find(|line| line["requestID"] == answer.request_id.as_str()).unwrap();
    let additional = &record["additionalEventData"];
    assert_eq!(record["errorCode"], "AccessDenied");
    assert_eq!(record["errorMessage"], answer.message.as_str());
    assert_eq!(additional["decision"], "Deny");
    assert_eq!(additional["reason"], "ExplicitDeny");
    assert_eq!(additional["layer"], "identity");
    assert_eq!(additional["revision"], answer.revision.as_str());
    assert_eq!(additional["generation"], answer.generation);
    assert_eq!(additional["peer"], "127.0.0.1");
    assert!(additional["latencyNs"].as_u64().is_some_and(|nanos| nanos > 0));
    let (told, written) = (&answer.determining_statements[0], &additional["determiningStatements"][0]);
    assert_eq!(written["policyId"], told.policy_id.as_str());
    assert_eq!((&written["sid"], &written["file"]), (&json!("Keep"), &json!("policies.json")));
    assert_eq!((&written["line"], &written["column"]), (&json!(told.line), &json!(told.column)));
    assert_eq!(record["sourceIPAddress"], "10.1.2.3");
    assert_eq!(record["awsRegion"], "eu-1");
    assert_eq!(record["userIdentity"]["userName"], "alice");
    let context = &record["requestParameters"]["context"];
    assert_eq!(context["app:password"], "HIDDEN_DUE_TO_SECURITY_REASONS");
    assert!(!lines.iter().any(|line| line.to_string().contains("canary")));
}

#[tokio::test]
async fn hostile_values_stay_in_their_line() {
    let audited = Audited::start(|_| {}).await;
    let values = [
        "a\nb\r\n{\"eventName\":\"forged\"}",
        "\u{1b}[2J\u{1b}[31m",
        "\u{202e}drawkcab\u{2066}\u{2028}\u{2029}\u{feff}",
        "quote\" back\\slash \u{0} nul \u{7f} \u{85}",
        "']}",
    ];
    for value in values {
        let mut request = question(ALICE, "orders:GetOrder", ORDER);
        request.context.insert("app:value".to_owned(), text(value));
        audited.sidecar.authorize(request).await.unwrap();
    }
    let mut long = question(ALICE, "orders:GetOrder", ORDER);
    long.context.insert("app:value".to_owned(), text(&"ж".repeat(4_000)));
    audited.sidecar.authorize(long).await.unwrap();
    let file = audited.file();
    audited.sidecar.stop().await;
    let raw = fs::read_to_string(&file).unwrap();
    assert!(
        !raw.chars()
            .any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{202e}' | '\u{feff}'))
    );
    let lines = lines(&file);
    let shown: Vec<_> =
        lines.iter().filter_map(|line| line["requestParameters"]["context"]["app:value"].as_str()).collect();
    assert_eq!(shown[..values.len()], values);
    assert!(shown[values.len()].ends_with("more bytes]"));
    assert!(!happenings(&lines).contains(&"forged"));
}

#[tokio::test]
async fn changes_of_the_policies_are_recorded() {
    let audited = Audited::start(|_| {}).await;
    let sidecar = &audited.sidecar;
    let mut statuses = sidecar.store.subscribe_status();
    sidecar.write("broken.json", "{\"Policies\": [");
    let refused = statuses.wait_for(|status| status.rejection.is_some());
    let refused = tokio::time::timeout(SOON, refused).await.unwrap().unwrap().rejection.clone().unwrap();
    // The trail follows on its own; the next change comes when it has.
    let file = audited.file();
    let wait = async {
        while !fs::read_to_string(&file).unwrap().contains("RejectPolicies") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("the refusal is recorded");
    sidecar.write("broken.json", "{\"Policies\": []}");
    sidecar.loaded(2).await;
    let published = async {
        while fs::read_to_string(&file).unwrap().matches("ReloadPolicies").count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, published).await.expect("the change is recorded");
    let (lines, _) = audited.end().await;
    assert_eq!(
        happenings(&lines),
        ["StartServer", "ReloadPolicies", "RejectPolicies", "ReloadPolicies", "StopServer"]
    );
    let rejected = lines.iter().find(|line| line["eventName"] == "RejectPolicies").unwrap();
    let details = &rejected["serviceEventDetails"];
    assert_eq!(details["refusedRevision"], refused.revision.to_string());
    assert_eq!(details["servingGeneration"], 1);
    assert!(details["findings"][0].as_str().unwrap().starts_with("broken.json:1:"), "{details}");
    assert_eq!(rejected["errorCode"], "PoliciesRejected");
    let mut published = lines.iter().filter(|line| line["eventName"] == "ReloadPolicies");
    let mut details = || published.next().unwrap()["serviceEventDetails"].clone();
    let (first, second) = (details(), details());
    assert_eq!((&first["filesAdded"], &first["denyStatements"]), (&Value::Null, &Value::Null));
    assert_eq!(second["filesAdded"], json!(["broken.json"]));
    assert_eq!((&second["filesChanged"], &second["filesRemoved"]), (&Value::Null, &Value::Null));
    let numbers = ["statements", "statementsBefore", "denyStatements", "denyStatementsBefore"];
    assert_eq!(numbers.map(|name| second[name].as_u64()), [Some(3), Some(3), Some(1), Some(1)]);
}

#[tokio::test]
async fn in_mode_sync_an_answer_is_on_the_disk_before_it_is_told() {
    let audited = Audited::start(|config| config.audit_mode = AuditMode::Sync).await;
    for _ in 0..20 {
        let id =
            audited.sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap().request_id;
        assert!(fs::read_to_string(audited.file()).unwrap().contains(&id));
    }
    let told = stream(&audited.sidecar, 200).await;
    let written = recorded(&lines(&audited.file()));
    assert!(told.iter().all(|id| written.contains(id)));
    let items = (0..50).map(|_| item("orders:GetOrder")).collect();
    audited.sidecar.authorization().batch_authorize(batch(items)).await.unwrap();
    assert_eq!(recorded(&lines(&audited.file())).len(), 20 + 200 + 50);
    assert!(audited.end().await.1.is_sound());
}

#[tokio::test]
async fn rotation_under_load_loses_and_doubles_nothing() {
    let audited = Audited::start(|config| {
        config.audit_rotate_bytes = 40_000;
        config.audit_files_max = 0;
        config.audit_chain = true;
    })
    .await;
    let mut told = BTreeSet::new();
    for _ in 0..10 {
        let (a, b) = tokio::join!(stream(&audited.sidecar, 300), stream(&audited.sidecar, 300));
        told.extend(a.into_iter().chain(b));
        audited.sidecar.lifecycle.reload();
    }
    let rotated = older_files(&audited.file()).unwrap().len();
    let (lines, report) = audited.end().await;
    assert!(rotated > 5, "{rotated}");
    assert_eq!(told.len(), 6_000);
    assert_eq!(recorded(&lines), told);
    assert!(report.is_sound() && report.chained == report.lines, "{report:?}");
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_begun_anew() {
    let audited = Audited::start(|_| {}).await;
    let first = stream(&audited.sidecar, 10).await;
    let moved = audited.files.path().join("audit.jsonl.000001");
    let wait = async {
        while recorded(&lines(&audited.file())).len() < 10 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap();
    fs::rename(audited.file(), &moved).unwrap();
    audited.sidecar.lifecycle.reload();
    let second = stream(&audited.sidecar, 10).await;
    let file = audited.file();
    audited.sidecar.stop().await;
    let of_first = fs::read_to_string(moved).unwrap();
    let of_second = fs::read_to_string(&file).unwrap();
    assert!(first.iter().all(|id| of_first.contains(id)));
    assert!(second.iter().all(|id| of_second.contains(id)));
    assert!(verified(&file).is_sound());
}

/// A named pipe whose reader takes nothing: every write to it blocks for good once it is full.
async fn with_stuck_consumer(adjust: impl FnOnce(&mut Config)) -> (Sidecar, TempDir, fs::File) {
    let files = tempfile::tempdir().unwrap();
    let pipe = files.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Both ends, so that opening waits for nobody.
    let reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.audit_file = Some(pipe);
        config.audit_queue_records_max = 100;
        config.audit_wait_ms = 5;
        adjust(config);
    })
    .await;
    (sidecar, files, reader)
}

#[tokio::test]
async fn a_consumer_that_is_stuck_holds_no_decision() {
    for mode in [AuditMode::Drop, AuditMode::Block] {
        let (sidecar, _files, _reader) = with_stuck_consumer(|config| config.audit_mode = mode).await;
        let answered = async {
            for _ in 0..20 {
                assert_eq!(stream(&sidecar, 50).await.len(), 50);
            }
        };
        tokio::time::timeout(SOON, answered).await.expect("decisions are bounded");
    }
}

#[tokio::test]
async fn without_a_record_there_is_no_answer_when_so_configured() {
    let (sidecar, _files, _reader) =
        with_stuck_consumer(|config| config.on_audit_failure = AuditFailure::Deny).await;
    let mut refused = None;
    for _ in 0..2_000 {
        if let Err(status) = sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await {
            refused = Some(status);
            break;
        }
    }
    let status = refused.expect("the queue is full at last");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_RECORDED"));
}

#[tokio::test]
async fn a_killed_process_leaves_a_torn_line_and_the_next_one_goes_on() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("audit.jsonl");
    for round in 0..3 {
        let sidecar = Sidecar::configured(Some(POLICIES), |config| {
            config.audit_file = Some(file.clone());
            config.audit_chain = true;
        })
        .await;
        stream(&sidecar, 5).await;
        sidecar.stop().await;
        if round < 2 {
            let mut text = fs::read_to_string(&file).unwrap();
            text.push_str("{\"eventVersion\":\"1.11\",\"userId");
            fs::write(&file, text).unwrap();
        }
    }
    let report = verified(&file);
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Torn; 2], "the chain goes on over what is torn: {report:?}");
    let text = fs::read_to_string(&file).unwrap();
    let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
    assert_eq!(recorded(&whole).len(), 15);
    assert_eq!(happenings(&whole).iter().filter(|name| **name == "RecoverAudit").count(), 2);
    assert_eq!(report.processes.len(), 3);
}

#[tokio::test]
async fn the_program_that_asks_is_named() {
    let audited = Audited::start(|_| {}).await;
    let raw = Raw::connect(audited.sidecar.grpc).await;
    let question = question(ALICE, "orders:GetOrder", ORDER);
    let streamed =
        v1::AuthorizeStreamRequest { correlation_id: "1".to_owned(), request: Some(question.clone()) };
    let long = format!("long {}", "x".repeat(2_000));
    let mut named = 0;
    for agent in ["orders/2.1 grpc-go/1.70", "quoted \" and \\", &long, ""] {
        for way in [PLAIN, ROUTED] {
            for (path, body) in [
                (AUTHORIZE, framed(&question)),
                (BATCH, framed(&batch(vec![item("orders:GetOrder")]))),
                (STREAM, framed(&streamed)),
            ] {
                let headers = [("content-type", way), ("user-agent", agent)];
                let headers = if agent.is_empty() { &headers[..1] } else { &headers[..] };
                let (mut sent, answer) = raw.begin(path, headers).await;
                send_all(&mut sent, body.into()).await.unwrap();
                assert_eq!(answer.await.code(), Code::Ok);
                named += 1;
            }
        }
    }
    // What the question says of its own caller counts more.
    let mut asked = question;
    asked.context.insert("aws:UserAgent".to_owned(), text("browser"));
    raw.call(AUTHORIZE, PLAIN, framed(&asked)).await;
    let (lines, _) = audited.end().await;
    let agents: Vec<_> = lines
        .iter()
        .filter(|line| line["eventType"] == "AwsApiCall")
        .map(|line| line["userAgent"].as_str().unwrap_or_default())
        .collect();
    let cut = format!("long {}...[truncated: 981 more bytes]", "x".repeat(1_019));
    let each = named / 4;
    for (agent, count) in [
        ("orders/2.1 grpc-go/1.70", each),
        ("quoted \" and \\", each),
        (&cut, each),
        ("", each),
        ("browser", 1),
    ] {
        assert_eq!(agents.iter().filter(|found| **found == agent).count(), count, "{agent}: {agents:?}");
    }
}
