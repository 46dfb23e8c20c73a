//! Which call needs which token, on every way that a call can take.

use std::time::Duration;

use portcullis_proto::v1;
use portcullis_server::Config;
use prost::Message;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::Code;

use crate::certificates::put;
use crate::raw::{AUTHORIZE, Answer, BATCH, PLAIN, ROUTED, Raw, STREAM, framed, send_all};
use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, question};
use crate::tls::sample;

const STATUS: &str = "/portcullis.v1.PolicySetService/GetStatus";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const APP: &str = "canary-app-0123456789012345678901234567890";
const OPS: &str = "canary-ops-0123456789012345678901234567890";
const ALL: &str = "canary-all-0123456789012345678901234567890";
const NEW: &str = "canary-new-0123456789012345678901234567890";

struct Guarded {
    directory: TempDir,
    sidecar: Sidecar,
}

impl Guarded {
    async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        put(
            &file,
            &format!("# who may ask what\napp {APP}\nops {OPS} methods=GetStatus\nall {ALL} methods=*\n"),
        );
        let sidecar = Sidecar::configured(Some(POLICIES), |config| {
            config.token_file = Some(file);
            config.credentials_poll_ms = 20;
            config.audit_file = Some(directory.path().join("audit"));
            config.uds = Some(directory.path().join("socket"));
            adjust(config);
        })
        .await;
        Self { directory, sidecar }
    }

    fn put(&self, text: &str) {
        put(&self.directory.path().join("tokens"), text);
    }

    async fn raw(&self) -> Raw {
        Raw::connect(self.sidecar.grpc).await
    }

    async fn becomes(&self, token: &str, code: Code) {
        let address = self.sidecar.grpc;
        let asked = async |token: String| {
            // The connection may be asked to leave just now, which is no answer.
            let asking = async move {
                let raw = Raw::connect(address).await;
                ask(&raw, AUTHORIZE, PLAIN, &good(), Some(&token)).await.code()
            };
            tokio::spawn(asking).await.ok()
        };
        let changed = async {
            while asked(token.to_owned()).await != Some(code) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, changed).await.expect("the tokens are read again");
    }
}

fn good() -> Vec<u8> {
    framed(&question(ALICE, "orders:GetOrder", ORDER))
}

async fn ask(raw: &Raw, path: &str, content_type: &str, body: &[u8], token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", content_type)];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let (mut stream, answer) = raw.begin(path, &headers).await;
    let _ = send_all(&mut stream, body.to_vec().into()).await;
    answer.await
}

/// Every way of a call, with a good message for it.
fn ways() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let request = Some(question(ALICE, "orders:GetOrder", ORDER));
    let streamed = framed(&v1::AuthorizeStreamRequest { correlation_id: String::new(), request });
    let batch = framed(&v1::BatchAuthorizeRequest::default());
    let mut ways = Vec::new();
    for content_type in [PLAIN, ROUTED] {
        ways.push((AUTHORIZE, content_type, good()));
        ways.push((BATCH, content_type, batch.clone()));
        ways.push((STREAM, content_type, streamed.clone()));
    }
    ways
}

#[tokio::test]
async fn every_way_of_a_call_needs_a_token_that_is_for_it() {
    let guarded = Guarded::start(|_| {}).await;
    let raw = guarded.raw().await;
    for (path, content_type, body) in ways() {
        for (token, code) in [
            (Some(APP), Code::Ok),
            (Some(ALL), Code::Ok),
            (Some(OPS), Code::PermissionDenied),
            (Some(NEW), Code::Unauthenticated),
            (Some(""), Code::Unauthenticated),
            (None, Code::Unauthenticated),
        ] {
            let answer = ask(&raw, path, content_type, &body, token).await;
            assert_eq!(answer.code(), code, "{path} {content_type} {token:?}");
            match code {
                Code::Unauthenticated => assert_eq!(answer.reason(), "UNAUTHENTICATED"),
                Code::PermissionDenied => assert_eq!(answer.reason(), "METHOD_NOT_PERMITTED"),
                _ => {}
            }
        }
    }
    let empty = framed(&v1::GetStatusRequest {});
    for (token, code) in
        [(Some(OPS), Code::Ok), (Some(APP), Code::PermissionDenied), (None, Code::Unauthenticated)]
    {
        assert_eq!(ask(&raw, STATUS, PLAIN, &empty, token).await.code(), code);
    }
    assert_eq!(ask(&raw, REFLECTION, PLAIN, &[], Some(OPS)).await.code(), Code::PermissionDenied);
    assert_eq!(ask(&raw, REFLECTION, PLAIN, &[], Some(ALL)).await.code(), Code::Ok);
    assert_eq!(ask(&raw, "/nowhere", PLAIN, &[], None).await.code(), Code::Unauthenticated);
    assert_eq!(ask(&raw, HEALTH, PLAIN, &framed(&v1::GetStatusRequest {}), None).await.code(), Code::Ok);
}

#[tokio::test]
async fn calls_that_are_refused_do_not_cost_the_connection() {
    let guarded = Guarded::start(|_| {}).await;
    let raw = guarded.raw().await;
    for _ in 0..1_500 {
        assert_eq!(ask(&raw, AUTHORIZE, PLAIN, &good(), None).await.code(), Code::Unauthenticated);
    }
    assert_eq!(ask(&raw, AUTHORIZE, PLAIN, &good(), Some(APP)).await.code(), Code::Ok);
    // Who keeps its body open is answered, too.
    let (stream, answer) = raw.begin(STREAM, &[("content-type", PLAIN)]).await;
    let answer = tokio::time::timeout(SOON, answer).await.expect("an answer");
    assert_eq!(answer.code(), Code::Unauthenticated);
    drop(stream);
    assert_eq!(
        sample(&guarded.sidecar, "portcullis_refusals_total{reason=\"UNAUTHENTICATED\"}").await,
        1_501.0
    );
    assert_eq!(
        sample(
            &guarded.sidecar,
            "portcullis_decisions_total{decision=\"Allow\",layer=\"identity\",reason=\"Allowed\"}"
        )
        .await,
        1.0
    );
}

#[tokio::test]
async fn tokens_rotate_without_a_call_that_fails_and_end_when_they_are_taken_away() {
    let guarded = Guarded::start(|_| {}).await;
    let raw = guarded.raw().await;
    let (mut stream, answers) =
        raw.begin(STREAM, &[("content-type", PLAIN), ("authorization", &format!("Bearer {APP}"))]).await;
    let request = Some(question(ALICE, "orders:GetOrder", ORDER));
    let message = v1::AuthorizeStreamRequest { correlation_id: String::new(), request };
    stream.send_data(framed(&message).into(), false).unwrap();
    guarded.put(&format!("app {APP}\napp {NEW}\nops {OPS} methods=*\nall {ALL} methods=*\n"));
    guarded.becomes(NEW, Code::Ok).await;
    assert_eq!(ask(&raw, AUTHORIZE, PLAIN, &good(), Some(APP)).await.code(), Code::Ok, "both");

    // Nothing that cannot be read replaces anything.
    for bad in ["", "short", "app\n", &format!("app {APP} methods=Everything\n")] {
        let refused = "portcullis_token_reloads_total{result=\"refused\"}";
        let before = sample(&guarded.sidecar, refused).await;
        guarded.put(bad);
        let told = async {
            while sample(&guarded.sidecar, refused).await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, told).await.expect("it is told of");
        assert_eq!(sample(&guarded.sidecar, "portcullis_degraded").await, 1.0);
        assert_eq!(ask(&raw, AUTHORIZE, PLAIN, &good(), Some(APP)).await.code(), Code::Ok);
    }

    guarded.put(&format!("app {NEW}\n"));
    guarded.becomes(APP, Code::Unauthenticated).await;
    guarded.becomes(NEW, Code::Ok).await;
    assert_eq!(sample(&guarded.sidecar, "portcullis_degraded").await, 0.0);
    let ended = tokio::time::timeout(SOON, answers).await.expect("the stream of the old token ends");
    assert_eq!(ended.messages::<v1::AuthorizeStreamResponse>().len(), 1);
}

#[tokio::test]
async fn the_unix_socket_needs_tokens_unless_it_is_exempt() {
    for exempt in [false, true] {
        let guarded = Guarded::start(|config| config.uds_token_exempt = exempt).await;
        let stream = UnixStream::connect(guarded.directory.path().join("socket")).await.unwrap();
        let raw = Raw::over(stream, &h2::client::Builder::new()).await;
        let code = ask(&raw, AUTHORIZE, PLAIN, &good(), None).await.code();
        assert_eq!(code, if exempt { Code::Ok } else { Code::Unauthenticated });
        assert_eq!(ask(&raw, AUTHORIZE, PLAIN, &good(), Some(APP)).await.code(), Code::Ok);
        let tcp = guarded.raw().await;
        assert_eq!(ask(&tcp, AUTHORIZE, PLAIN, &good(), None).await.code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn tokens_are_told_to_nobody() {
    let guarded = Guarded::start(|_| {}).await;
    let raw = guarded.raw().await;
    for token in [APP, OPS, ALL, NEW] {
        for (path, content_type, body) in ways() {
            let answer = ask(&raw, path, content_type, &body, Some(token)).await;
            let shown = format!("{:?} {:?}", answer.trailers, String::from_utf8_lossy(&answer.body));
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
    let status = ask(&raw, STATUS, PLAIN, &framed(&v1::GetStatusRequest {}), Some(ALL)).await;
    let status = &status.messages::<v1::GetStatusResponse>()[0];
    assert!(!String::from_utf8_lossy(&status.encode_to_vec()).contains("canary"));
    guarded.put(&format!("other {NEW}\n"));
    guarded.becomes(NEW, Code::Ok).await;
    for page in ["/metrics", "/status", "/readyz", "/livez"] {
        assert!(!guarded.sidecar.page(page).await.1.contains("canary"), "{page}");
    }
    let Guarded { directory, sidecar } = guarded;
    sidecar.stop().await;
    let audit = std::fs::read_to_string(directory.path().join("audit")).unwrap();
    assert!(audit.contains("ChangeTokens") && audit.contains("\"other\""), "{audit}");
    for caller in ["app", "all", "other"] {
        assert!(audit.contains(&format!("\"peer\":\"127.0.0.1 token:{caller}\"")), "{caller}: {audit}");
    }
    assert!(!audit.contains("canary"));
}
