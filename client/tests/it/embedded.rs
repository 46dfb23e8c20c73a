//! The engine in this process against a sidecar on the same policies, over the whole corpus: one answer, one error.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_client::embedded::LoadMode;
use portcullis_client::{Client, Decision, Embedded, Error, Request, wire};
use portcullis_engine::Instant;
use portcullis_server::{Config, Listeners};
use portcullis_store::{Delivery, Feed, Store};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A time without meaning for cases that bring none of their own: 2026-05-06T07:08:09Z.
const SOME_TIME: u64 = 1_778_051_289;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Case<'a> {
    id: String,
    #[serde(borrow)]
    policies: &'a RawValue,
    request: Map<String, Value>,
}

/// What a JSON scalar is as a text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}

fn time(value: &Value) -> prost_types::Timestamp {
    let instant = Instant::parse(value.as_str().unwrap()).unwrap();
    prost_types::Timestamp { seconds: instant.seconds(), nanos: instant.nanos() as i32 }
}

fn context_value(value: &Value) -> wire::ContextValue {
    use wire::context_value::Value as Sent;
    let sent = match value {
        Value::Array(_) => Sent::List(wire::TextList { values: texts(value) }),
        Value::Bool(boolean) => Sent::Boolean(*boolean),
        Value::Number(number) => Sent::Number(number.to_string()),
        other => Sent::Text(text(other)),
    };
    wire::ContextValue { value: Some(sent) }
}

fn session(value: &Value) -> wire::Session {
    let mut session = wire::Session::default();
    for (name, value) in value.as_object().unwrap() {
        match name.as_str() {
            "Policies" => session.policies = texts(value),
            "PolicyArns" => session.policy_arns = texts(value),
            "Tags" => {
                let tags = value.as_object().unwrap();
                session.tags = tags.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            }
            "IssuedAt" => session.issued_at = Some(time(value)),
            "MfaAuthenticatedAt" => session.mfa_authenticated_at = Some(time(value)),
            "SourceIdentity" => session.source_identity = text(value),
            "FederatedProvider" => session.federated_provider = text(value),
            "Issuer" => session.issuer = text(value),
            other => unreachable!("{other}"),
        }
    }
    session
}

/// The question of a case, and its time.
fn question(object: &Map<String, Value>) -> (wire::AuthorizeRequest, prost_types::Timestamp) {
    let mut message = wire::AuthorizeRequest {
        detail: wire::Detail::Statements.into(),
        ..wire::AuthorizeRequest::default()
    };
    let mut now = prost_types::Timestamp { seconds: SOME_TIME as i64, nanos: 0 };
    for (name, value) in object {
        match name.as_str() {
            "Principal" => message.principal = text(value),
            "Action" => message.action = text(value),
            "Resource" => message.resource = text(value),
            "ResourceAccount" => message.resource_account = text(value),
            "Context" => {
                let context = value.as_object().unwrap();
                message.context =
                    context.iter().map(|(key, value)| (key.clone(), context_value(value))).collect();
            }
            "Session" if value.is_null() => {}
            "Session" => message.session = Some(session(value)),
            "CurrentTime" => now = time(value),
            other => unreachable!("{other}"),
        }
    }
    (message, now)
}

/// Everything that is said, but which sidecar said it.
fn said(answered: &Result<Decision, Error>) -> String {
    match answered {
        Err(error) => format!("{error:?}"),
        Ok(decision) => {
            let answer = decision.answer();
            format!(
                "{} {} {} {:?} {:?} {:?} {}",
                decision.is_allowed(),
                answer.reason(),
                answer.layer(),
                answer.message(),
                answer.missing_context_keys(),
                answer.statements(),
                answer.depends_on_time(),
            )
        }
    }
}

/// The same of a message.
fn said_over_the_wire(answered: Result<wire::SimulateResponse, Error>) -> String {
    let response = match answered {
        Ok(response) => response.response.unwrap(),
        Err(error) => return format!("{error:?}"),
    };
    let statement = |it: &wire::DeterminingStatement| portcullis_client::Statement {
        policy_id: it.policy_id.clone(),
        sid: it.sid.clone(),
        index: it.index,
        file: it.file.clone(),
        line: it.line,
        column: it.column,
        layer: layers().into_iter().find(|layer| layer.as_str() == name(it.layer())).unwrap(),
    };
    format!(
        "{} {:?} {} {:?} {:?} {:?} {}",
        response.decision() == wire::Decision::Allow,
        response.reason(),
        name(response.layer()),
        response.message,
        response.missing_context_keys,
        response.determining_statements.iter().map(statement).collect::<Vec<_>>(),
        response.depends_on_time,
    )
}

fn name(layer: wire::Layer) -> String {
    format!("{layer:?}").to_lowercase()
}

fn layers() -> [portcullis_client::Layer; 8] {
    use portcullis_client::Layer::*;
    [Identity, Resource, Boundary, Session, Scp, Rcp, Endpoint, Trust]
}

/// A sidecar whose policies are put into it.
async fn fed_sidecar() -> (Feed, Client) {
    let config = Config {
        listen: "127.0.0.1:0".to_owned(),
        http_listen: String::new(),
        uds: None,
        ..Config::default()
    };
    let listeners = Listeners::bind(&config).await.unwrap();
    let endpoint = format!("http://{}", listeners.grpc_address().unwrap());
    let (store, feed) = Store::fed();
    tokio::spawn(portcullis_server::run(config, store, listeners, std::future::pending()));
    (feed, Client::builder(endpoint).timeout(Duration::from_secs(60)).connect().await.unwrap())
}

/// What differs between the two in one case.
async fn differences(case: Case<'_>, number: u64, feed: &mut Feed, client: &Client) -> Vec<String> {
    let Case { id, policies, request } = case;
    let files = vec![("(given)".to_owned(), policies.get().as_bytes().to_vec())];
    let load_mode = LoadMode::Lenient;
    let embedded = Embedded::from_files(files.clone(), load_mode).unwrap();
    feed.put(Delivery { files, load_mode, revision: None, generation: number }).unwrap();
    let (message, now) = question(&request);

    let simulation = wire::SimulateRequest {
        request: Some(message.clone()),
        directory_json: policies.get().as_bytes().to_vec(),
        directory_mode: wire::DirectoryMode::Replace.into(),
        current_time: Some(now),
    };
    let since = Duration::new(u64::try_from(now.seconds).unwrap(), now.nanos as u32);
    let request = Request::from(message);
    let here = said(&embedded.simulate(request.clone(), UNIX_EPOCH + since));
    let there = said_over_the_wire(client.simulate(simulation).await);
    let mut different = Vec::new();
    if here != there {
        different.push(format!("{id}: simulated here {here}, there {there}"));
    }

    let (here, there) = (embedded.decide_now(request.clone()), client.decide(request).await);
    let revision = |answered: &Result<Decision, Error>| {
        answered.as_ref().ok().map(|decision| decision.answer().revision().to_owned())
    };
    if said(&here) != said(&there) || revision(&here) != revision(&there) {
        different.push(format!("{id}: decided here {here:?}, there {there:?}"));
    }
    different
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_corpus_has_one_answer_here_and_there() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let rules = fs::read_dir(corpus.join("rules")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = rules.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    files.push(corpus.join("semantics.jsonl"));
    let (mut feed, client) = fed_sidecar().await;
    let (mut asked, mut different) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            asked += 1;
            let case = serde_json::from_str(line).unwrap();
            different.extend(differences(case, asked, &mut feed, &client).await);
        }
    }
    assert!(asked > 1500, "only {asked} cases");
    assert!(different.is_empty(), "{} of {asked}:\n{}", different.len(), different.join("\n"));
}

#[tokio::test]
async fn what_cannot_be_answered_is_the_same_error_here_and_there() {
    let (mut feed, client) = fed_sidecar().await;
    let directory = tempfile::tempdir().unwrap();
    let waiting = Embedded::builder(directory.path()).open_lazy();
    let alice = "arn:aws:iam::111122223333:user/alice";
    let good = || Request::new(alice, "orders:GetOrder", "*");
    let unset = wire::AuthorizeRequest {
        context: [("a".to_owned(), wire::ContextValue { value: None })].into(),
        detail: 77,
        session: Some(wire::Session {
            transitive_tag_keys: vec!["nobody".to_owned()],
            issued_at: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
            policies: vec!["{".to_owned(), "[]".to_owned()],
            ..wire::Session::default()
        }),
        ..good().as_wire().clone()
    };
    let many = (0..40).fold(good(), |request, number| request.context(format!("k{number}"), f64::INFINITY));
    let questions = || {
        let bad =
            [Request::new("", "", ""), Request::from(unset.clone()), many.clone(), good().min_generation(9)];
        bad.into_iter().chain([
            good(),
            good().context("aws:CurrentTime", SystemTime::now()),
            good().context("aws:SourceIp", "nowhere"),
            good().resource_account("1"),
        ])
    };
    let mut compared = 0;
    for loaded in [false, true] {
        let embedded = if loaded {
            let files = vec![("a.json".to_owned(), b"{}".to_vec())];
            let load_mode = LoadMode::Lenient;
            feed.put(Delivery { files: files.clone(), load_mode, revision: None, generation: 1 }).unwrap();
            Embedded::from_files(files, load_mode).unwrap()
        } else {
            waiting.clone()
        };
        for request in questions() {
            let there = client.decide(request.clone()).await;
            assert_eq!(said(&embedded.decide_now(request.clone())), said(&there), "{request:?}");
            compared += usize::from(there.is_err());
        }
    }
    assert_eq!(compared, 15, "all but the good question to policies that are there");
}
