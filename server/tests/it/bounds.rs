//! Limits, strange peers, the Unix socket and the end.

use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::v1;
use portcullis_server::Outcome;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::raw::{AUTHORIZE, BATCH, PLAIN, ROUTED, Raw, framed};
use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, question, reason, text};

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_one_at_it_is_read() {
    let sidecar = Sidecar::start().await;
    let sized = |size: usize| {
        let mut request = question(ALICE, "orders:GetOrder", ORDER);
        request.context.insert("k".to_owned(), text(&"v".repeat(size)));
        request
    };
    // Read, and refused for the length of one value.
    let status = sidecar.authorize(sized(250 << 10)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let status = sidecar.authorize(sized(300 << 10)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_none_is_the_caller_s_mistake() {
    let sidecar = Sidecar::start().await;
    let mut client = tonic::client::Grpc::new(sidecar.channel.clone());
    client.ready().await.unwrap();
    // A number where the question has its principal.
    let message = v1::Counts { users: 1, ..v1::Counts::default() };
    let codec = tonic_prost::ProstCodec::<v1::Counts, v1::AuthorizeResponse>::default();
    let path = "/portcullis.v1.AuthorizationService/Authorize".parse().unwrap();
    let status = client.unary(tonic::Request::new(message), path, codec).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MALFORMED_MESSAGE"));
}

#[tokio::test]
async fn a_request_over_the_limit_is_shed() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.requests_in_flight_max = 1).await;
    let mut client = sidecar.policy_set();
    // Whichever of the two comes second is shed; the waiting one comes again until it is the first.
    let waiting = tokio::spawn(async move {
        let wait = v1::WaitForRevisionRequest { revision: String::new(), min_generation: 9 };
        while client.wait_for_revision(wait.clone()).await.is_err() {}
    });
    let shed = async {
        loop {
            match sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(status) => break status,
            }
        }
    };
    let status = tokio::time::timeout(SOON, shed).await.expect("one request is shed");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    let again = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert_eq!(again, Some(Duration::from_millis(100)));
    waiting.abort();
}

/// With room for eight: two waits. Other calls are answered all the same, also one whose message comes after its head.
#[tokio::test]
async fn calls_that_wait_leave_room_for_those_that_do_not() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.requests_in_flight_max = 8).await;
    let wait = v1::WaitForRevisionRequest { revision: String::new(), min_generation: 9 };
    let mut waits = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (mut client, wait) = (sidecar.policy_set(), wait.clone());
        waits.spawn(async move { client.wait_for_revision(wait).await.map(drop).unwrap_err() });
    }
    for _ in 0..4 {
        let shed = tokio::time::timeout(SOON, waits.join_next()).await.expect("all but two are shed");
        assert_eq!(reason(&shed.unwrap().unwrap()), "OVERLOADED");
    }
    sidecar.policy_set().get_status(v1::GetStatusRequest {}).await.unwrap();
    let raw = Raw::connect(sidecar.grpc).await;
    let good = Bytes::from(framed(&question(ALICE, "orders:GetOrder", ORDER)));
    for _ in 0..5 {
        let (mut stream, answer) = raw.begin(AUTHORIZE, &[("content-type", PLAIN)]).await;
        stream.send_data(good.slice(..9), false).unwrap();
        // That it is seen without its end is likely, not sure; nothing here depends on it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.send_data(good.slice(9..), true).unwrap();
        answer.await.messages::<v1::AuthorizeResponse>();
    }
    waits.abort_all();
}

#[tokio::test]
async fn streams_and_watchers_are_bounded_apart_and_give_their_places_back() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.requests_in_flight_max = 3).await;
    let watch = async || sidecar.policy_set().watch_revisions(v1::WatchRevisionsRequest {}).await;
    let mut watchers = Vec::new();
    for _ in 0..2 {
        let mut watcher = watch().await.unwrap().into_inner();
        watcher.next().await.unwrap().unwrap();
        watchers.push(watcher);
    }
    let (questions, receiver) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = sidecar.authorization().authorize_stream(stream).await.unwrap().into_inner();
    assert_eq!(reason(&watch().await.unwrap_err()), "OVERLOADED");
    // Those that nobody needs a token for take no place of these, and these none of theirs.
    let watch_health = async || {
        let request = HealthCheckRequest { service: String::new() };
        HealthClient::new(sidecar.channel.clone()).watch(request).await
    };
    let _health = watch_health().await.unwrap();
    assert_eq!(reason(&watch_health().await.unwrap_err()), "OVERLOADED");
    let refused = sidecar.authorization().authorize_stream(tokio_stream::empty()).await;
    assert_eq!(reason(&refused.unwrap_err()), "OVERLOADED");
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();

    drop(questions);
    assert!(answers.next().await.is_none());
    watchers.clear();
    let admitted = async {
        for _ in 0..3 {
            loop {
                match watch().await {
                    Ok(watcher) => break watchers.push(watcher.into_inner()),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        }
    };
    tokio::time::timeout(SOON, admitted).await.expect("there is room again");
}

/// A policy that takes the engine as many steps as it may, with resources of [`batch`].
fn heavy_policy() -> String {
    let patterns: Vec<_> = (0..3_000).map(|n| format!(r#""arn:aws:s3:::b/*a?b?a?{n}c*""#)).collect();
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":"s3:*","Resource":[{}]}}]}}"#,
        patterns.join(",")
    )
}

fn batch(principal: &str, policies: Vec<String>, items: usize) -> v1::BatchAuthorizeRequest {
    let item = v1::BatchAuthorizeItem {
        action: "s3:GetObject".to_owned(),
        resource: format!("arn:aws:s3:::b/{}", "ab".repeat(900)),
        ..v1::BatchAuthorizeItem::default()
    };
    v1::BatchAuthorizeRequest {
        principal: principal.to_owned(),
        session: Some(v1::Session { policies, ..v1::Session::default() }),
        items: vec![item; items],
        ..v1::BatchAuthorizeRequest::default()
    }
}

/// One whose policy comes with the question.
fn heavy(items: usize) -> v1::BatchAuthorizeRequest {
    batch(READER, vec![heavy_policy()], items)
}

const READER: &str = "arn:aws:sts::111122223333:assumed-role/reader/s";

/// Whether the policy comes with the question or from the file.
#[tokio::test]
async fn the_items_of_a_batch_have_no_more_time_than_a_request() {
    let policies = format!(
        r#"{{"RoleDetailList": [{{"RoleName": "reader", "Arn": "arn:aws:iam::111122223333:role/reader",
            "AssumeRolePolicyDocument": {{"Version": "2012-10-17", "Statement": [
                {{"Effect": "Allow", "Principal": {{"AWS": "111122223333"}}, "Action": "sts:AssumeRole"}}]}},
            "RolePolicyList": [{{"PolicyName": "heavy", "PolicyDocument": {}}}]}}]}}"#,
        heavy_policy()
    );
    let sidecar = Sidecar::configured(Some(&policies), |config| config.request_timeout_ms = 200).await;
    let light = batch(READER, Vec::new(), 60);
    for (content_type, message) in
        [(PLAIN, &light), (ROUTED, &light), (PLAIN, &heavy(60)), (ROUTED, &heavy(60))]
    {
        let raw = Raw::connect(sidecar.grpc).await;
        // The message itself may come too late on a busy machine.
        let answer = loop {
            let answer = raw.call(BATCH, content_type, framed(message)).await;
            if answer.code() == Code::Ok {
                break answer;
            }
            assert_eq!(answer.code(), Code::DeadlineExceeded);
        };
        let results = answer.messages::<v1::BatchAuthorizeResponse>().remove(0).results;
        let late = |result: &v1::AuthorizeResult| match &result.result {
            Some(v1::authorize_result::Result::Error(error)) => {
                assert_eq!((error.code, error.reason.as_str()), (Code::DeadlineExceeded as i32, "TIMEOUT"));
                true
            }
            _ => false,
        };
        let late: Vec<_> = results.iter().map(late).collect();
        assert!(late.is_sorted(), "once late, always late: {late:?}");
        assert!(!late[0] && late[59], "{late:?}");
    }
}

/// One worker for all: a question that comes while a batch is half done is answered before its end.
#[tokio::test]
async fn others_have_their_turn_while_a_batch_is_answered() {
    const ITEMS: usize = 12;
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.worker_threads = 1).await;
    for content_type in [PLAIN, ROUTED] {
        let raw = Raw::connect(sidecar.grpc).await;
        let had_a_turn = async || {
            let before = decisions(&sidecar).await;
            let answer = tokio::spawn({
                let raw = raw.clone();
                async move { raw.call(BATCH, content_type, framed(&heavy(ITEMS))).await }
            });
            while decisions(&sidecar).await == before {}
            sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
            let seen = decisions(&sidecar).await - before;
            assert_eq!(answer.await.unwrap().code(), Code::Ok);
            seen <= ITEMS
        };
        // This thread may be so late that it sees the end of the batch.
        let soon = async { while !had_a_turn().await {} };
        tokio::time::timeout(SOON, soon).await.expect("nobody had a turn before the end");
    }
}

/// Answers so far.
async fn decisions(sidecar: &Sidecar) -> usize {
    let (_, page) = sidecar.page("/metrics").await;
    let counts = page.lines().filter(|line| line.starts_with("portcullis_decisions_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

#[tokio::test]
async fn simulations_queue_up_to_a_bound() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.simulations_max = 1).await;
    let directory = format!(
        r#"{{"Policies": [{{"PolicyName": "p", "Arn": "arn:aws:iam::111122223333:policy/p", "PolicyDocument":
            {{"Version": "2012-10-17", "Statement": [{}]}}}}]}}"#,
        vec![r#"{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}"#; 3_000].join(",")
    );
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (mut client, directory) = (sidecar.authorization(), directory.clone().into_bytes());
        let request = Some(question(ALICE, "orders:GetOrder", ORDER));
        let directory_mode = v1::DirectoryMode::Replace.into();
        let message =
            v1::SimulateRequest { request, directory_json: directory, directory_mode, current_time: None };
        asked.spawn(async move { client.simulate(message).await.map(drop) });
    }
    let (mut answered, mut shed) = (0, 0);
    while let Some(ended) = asked.join_next().await {
        match ended.unwrap() {
            Ok(()) => answered += 1,
            Err(status) if reason(&status) == "OVERLOADED" => shed += 1,
            Err(status) => panic!("{status:?}"),
        }
    }
    assert!(answered >= 64 && shed > 0, "{answered} answered, {shed} shed");
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_others_are_served() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.first_byte_ms = 50;
        config.connections_max = 2;
    })
    .await;
    let mut silent = TcpStream::connect(sidecar.grpc).await.unwrap();
    let closed = tokio::time::timeout(SOON, silent.read(&mut [0; 1])).await.expect("it is closed");
    assert!(matches!(closed, Ok(0) | Err(_)));
    let _held = (TcpStream::connect(sidecar.grpc).await, TcpStream::connect(sidecar.grpc).await);
    let answered = sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER));
    tokio::time::timeout(SOON, answered).await.expect("it is served").unwrap();
}

#[tokio::test]
async fn silent_connections_make_room_when_all_places_are_taken() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        // Nobody is sent away for being silent alone.
        config.first_byte_ms = 3_600_000;
        config.connections_max = 2;
    })
    .await;
    let _held = (TcpStream::connect(sidecar.grpc).await, TcpStream::connect(sidecar.grpc).await);
    let answered = sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER));
    tokio::time::timeout(SOON, answered).await.expect("it is served").unwrap();
}

#[tokio::test]
async fn connections_that_ask_nothing_make_room_when_all_places_are_taken() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        // Nobody is sent away for being slow alone.
        config.first_request_ms = 3_600_000;
        config.connections_max = 2;
    })
    .await;
    let mut begun = TcpStream::connect(sidecar.grpc).await.unwrap();
    begun.write_all(b"P").await.unwrap();
    let mut idle = TcpStream::connect(sidecar.grpc).await.unwrap();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 9]).await.unwrap();
    let answered = sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER));
    tokio::time::timeout(SOON, answered).await.expect("it is served").unwrap();
}

#[tokio::test]
async fn a_peer_that_speaks_another_protocol_hurts_nobody() {
    let sidecar = Sidecar::start().await;
    let mut stream = TcpStream::connect(sidecar.grpc).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it is closed");
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
}

#[tokio::test]
async fn the_unix_socket_answers_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.uds = Some(path.clone())).await;
    let channel = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap().connect().await.unwrap();
    let mut client = v1::authorization_service_client::AuthorizationServiceClient::new(channel);
    let response = client.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap().into_inner();
    assert_eq!(response.decision(), v1::Decision::Allow);
    drop(client);
    assert_eq!(sidecar.stop().await, Outcome::Drained);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_drain_turns_unhealthy_ends_streams_and_answers_what_came_before() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.drain_delay_ms = 300).await;
    let request = HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(sidecar.channel.clone()).watch(request).await.unwrap().into_inner();
    let mut serving = async || health.next().await.map(|status| status.unwrap().status());
    while serving().await != Some(ServingStatus::Serving) {}
    let mut revisions =
        sidecar.policy_set().watch_revisions(v1::WatchRevisionsRequest {}).await.unwrap().into_inner();
    revisions.next().await.unwrap().unwrap();

    sidecar.begin_stop();
    assert_eq!(serving().await, Some(ServingStatus::NotServing));
    assert_eq!(sidecar.page("/readyz").await.0, 503);
    assert_eq!(sidecar.page("/livez").await.0, 200);
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
    let ended = async { while revisions.next().await.is_some() {} };
    tokio::time::timeout(SOON, ended).await.expect("the stream ends");
    assert_eq!(sidecar.ended().await, Outcome::Drained);
}

#[tokio::test]
async fn a_full_house_does_not_hold_the_end() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.connections_max = 1).await;
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
    assert_eq!(sidecar.stop().await, Outcome::Drained);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers and then a window that overflows: each pair makes the service reset a stream.
#[tokio::test]
async fn a_peer_that_provokes_resets_is_sent_away() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    const END_HEADERS: u8 = 4;
    /// `:method: POST`, `:scheme: http`, `:path: /` of the static table.
    const FIELDS: [u8; 3] = [0x83, 0x86, 0x84];

    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.local_error_resets_max = 8).await;
    let mut stream = TcpStream::connect(sidecar.grpc).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    for number in (1..200).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS, number, &FIELDS));
        bytes.extend(frame(WINDOW_UPDATE, 0, number, &0x7fff_ffff_u32.to_be_bytes()));
    }
    stream.write_all(&bytes).await.unwrap();
    let sent_away = async {
        loop {
            let mut header = [0; 9];
            stream.read_exact(&mut header).await.expect("a frame that says so comes before the end");
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if header[3] == GOAWAY {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, sent_away).await.expect("the peer is sent away");
    sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_holds_its_connection_does_not_hold_the_end() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.drain_ms = 100).await;
    // The preface and nothing more: neither silent nor ever done.
    let mut held = TcpStream::connect(sidecar.grpc).await.unwrap();
    held.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    held.read_exact(&mut [0; 9]).await.unwrap();
    assert_eq!(sidecar.stop().await, Outcome::Cut);
}
