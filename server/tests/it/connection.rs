//! Nothing is lost on a connection: slow bodies, small windows, open streams at the end, bad neighbours.

use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::v1;
use portcullis_server::Outcome;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::raw::{AUTHORIZE, BATCH, PLAIN, Raw, STREAM, framed, framed_bytes, send_all};
use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, question, text};

const WAIT: &str = "/portcullis.v1.PolicySetService/WaitForRevision";

fn good() -> Bytes {
    framed(&question(ALICE, "orders:GetOrder", ORDER)).into()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it comes to an end")
}

#[tokio::test]
async fn a_body_may_come_byte_by_byte() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    for path in [AUTHORIZE, STREAM] {
        let body = match path {
            AUTHORIZE => good(),
            _ => {
                let request = Some(question(ALICE, "orders:GetOrder", ORDER));
                framed(&v1::AuthorizeStreamRequest { correlation_id: "7".to_owned(), request }).into()
            }
        };
        let (mut stream, answer) = raw.begin(path, &[("content-type", PLAIN)]).await;
        for byte in body {
            stream.send_data(Bytes::copy_from_slice(&[byte]), false).unwrap();
            tokio::task::yield_now().await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let answer = soon(answer).await;
        match path {
            AUTHORIZE => assert_eq!(answer.messages::<v1::AuthorizeResponse>()[0].generation, 1),
            _ => assert_eq!(answer.messages::<v1::AuthorizeStreamResponse>()[0].correlation_id, "7"),
        }
    }
}

#[tokio::test]
async fn a_body_longer_than_its_window_comes_whole() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    let mut asked = question(ALICE, "orders:GetOrder", ORDER);
    for number in 0..100 {
        asked.context.insert(format!("key-{number}"), text(&"v".repeat(2_000)));
    }
    let body = framed(&asked);
    assert!(body.len() > 3 * 65_535);
    // The whole window at once, and nothing more until there is room again.
    for _ in 0..3 {
        let answer = soon(raw.call(AUTHORIZE, PLAIN, body.clone())).await;
        assert_eq!(answer.messages::<v1::AuthorizeResponse>()[0].generation, 1);
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_with_the_deadline() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.request_timeout_ms = 500).await;
    let raw = Raw::connect(sidecar.grpc).await;
    for path in [AUTHORIZE, BATCH] {
        let (mut stream, answer) = raw.begin(path, &[("content-type", PLAIN)]).await;
        stream.send_data(good().slice(..3), false).unwrap();
        let answer = soon(answer).await;
        assert_eq!((answer.code(), answer.reason().as_str()), (Code::DeadlineExceeded, "TIMEOUT"));
    }
    // Enough of those, and others are still answered.
    assert_eq!(soon(raw.call(AUTHORIZE, PLAIN, good())).await.code(), Code::Ok);
}

#[tokio::test]
async fn the_time_of_a_caller_counts() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    let ask = async |timeout: &str, length: usize| {
        let headers = [("content-type", PLAIN), ("grpc-timeout", timeout)];
        let (mut stream, answer) = raw.begin(AUTHORIZE, &headers).await;
        if length == good().len() {
            send_all(&mut stream, good()).await.unwrap();
        } else {
            stream.send_data(good().slice(..length), false).unwrap();
        }
        soon(answer).await.code()
    };
    assert_eq!(ask("10S", good().len()).await, Code::Ok);
    assert_eq!(ask("nonsense", good().len()).await, Code::Ok);
    assert_eq!(ask("20m", 4).await, Code::DeadlineExceeded);
    assert_eq!(ask("0n", 4).await, Code::DeadlineExceeded);
}

#[tokio::test]
async fn big_answers_come_whole_through_small_windows() {
    let sidecar = Sidecar::start().await;
    let mut small = h2::client::Builder::new();
    small.initial_window_size(100).initial_connection_window_size(65_535);
    let raw = Raw::with(sidecar.grpc, &small).await;
    let item = v1::BatchAuthorizeItem {
        principal: ALICE.to_owned(),
        action: "orders:DeleteOrder".to_owned(),
        resource: ORDER.to_owned(),
        ..v1::BatchAuthorizeItem::default()
    };
    for detail in [v1::Detail::None, v1::Detail::Trace] {
        let items = vec![item.clone(); 100];
        let batch = v1::BatchAuthorizeRequest { items, detail: detail.into(), ..Default::default() };
        let answer = soon(raw.call(BATCH, PLAIN, framed(&batch))).await;
        assert_eq!(answer.messages::<v1::BatchAuthorizeResponse>()[0].results.len(), 100);
        assert!(answer.body.len() > 20_000);
    }
    let questions: Vec<u8> = (0..500)
        .flat_map(|number| {
            let request = Some(question(ALICE, "orders:DeleteOrder", ORDER));
            framed(&v1::AuthorizeStreamRequest { correlation_id: number.to_string(), request })
        })
        .collect();
    let answers = soon(raw.call(STREAM, PLAIN, questions)).await.messages::<v1::AuthorizeStreamResponse>();
    assert_eq!(answers.len(), 500);
    assert!(answers.iter().enumerate().all(|(place, answer)| answer.correlation_id == place.to_string()));
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_why_after_what_it_answered() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    let request = Some(question(ALICE, "orders:GetOrder", ORDER));
    let first = framed(&v1::AuthorizeStreamRequest { correlation_id: "1".to_owned(), request });
    for (second, reason) in [
        (framed_bytes(&[0x0a, 0x01, 0xff]), "MALFORMED_MESSAGE"),
        (framed_bytes(&vec![0; (256 << 10) + 1]), "MESSAGE_TOO_LARGE"),
        (vec![1, 0, 0, 0, 0], "MALFORMED_MESSAGE"),
        (first[..first.len() - 1].to_vec(), "MALFORMED_MESSAGE"),
    ] {
        let answer = soon(raw.call(STREAM, PLAIN, [first.clone(), second].concat())).await;
        assert_eq!(answer.reason(), reason);
        assert_eq!(u32::from_be_bytes(answer.body[1..5].try_into().unwrap()) as usize, answer.body.len() - 5);
    }
}

#[tokio::test]
async fn open_streams_are_answered_and_ended_at_the_end() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    let (mut stream, answer) = raw.begin(STREAM, &[("content-type", PLAIN)]).await;
    for number in 0..3 {
        let request = Some(question(ALICE, "orders:GetOrder", ORDER));
        let message = v1::AuthorizeStreamRequest { correlation_id: number.to_string(), request };
        stream.send_data(framed(&message).into(), false).unwrap();
    }
    // What is asked before the end is answered: this call is behind the others on the same connection.
    assert_eq!(raw.call(AUTHORIZE, PLAIN, good()).await.code(), Code::Ok);
    sidecar.begin_stop();
    let answer = soon(answer).await;
    assert_eq!(answer.messages::<v1::AuthorizeStreamResponse>().len(), 3);
    drop((stream, raw));
    assert_eq!(sidecar.ended().await, Outcome::Drained);
}

#[tokio::test]
async fn a_call_that_is_given_up_makes_room() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.requests_in_flight_max = 1).await;
    let raw = Raw::connect(sidecar.grpc).await;
    let wait = framed(&v1::WaitForRevisionRequest { revision: String::new(), min_generation: 9 });
    for _ in 0..20 {
        let (mut stream, answer) = raw.begin(WAIT, &[("content-type", PLAIN)]).await;
        send_all(&mut stream, wait.clone().into()).await.unwrap();
        let given_up = tokio::spawn(answer);
        let shed = async {
            while raw.call(AUTHORIZE, PLAIN, good()).await.code() != Code::ResourceExhausted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(shed).await;
        stream.send_reset(h2::Reason::CANCEL);
        given_up.abort();
        let answered = async {
            while raw.call(AUTHORIZE, PLAIN, good()).await.code() != Code::Ok {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(answered).await;
    }
}

/// All but the end of a long message, on more streams than there is room for.
#[tokio::test]
async fn bodies_that_do_not_end_take_no_more_than_there_is_room_for() {
    const BODY: usize = 250_000;
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.request_timeout_ms = 60_000).await;
    let (mut bodies, mut shed) = (Vec::new(), tokio::task::JoinSet::new());
    for path in [AUTHORIZE, BATCH, "/portcullis.v1.AuthorizationService/ListContextKeys"] {
        let raw = Raw::connect(sidecar.grpc).await;
        for _ in 0..120 {
            let (mut stream, answer) = raw.begin(path, &[("content-type", PLAIN)]).await;
            shed.spawn(answer);
            bodies.push(tokio::spawn(async move {
                let mut body = Bytes::from(framed_bytes(&vec![0; 256 << 10])).slice(..BODY);
                while !body.is_empty() {
                    stream.reserve_capacity(body.len());
                    // None or an error is that of a stream that was turned away.
                    let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                    let Some(Ok(room)) = room else { return };
                    let part = body.split_to(room.min(body.len()));
                    if stream.send_data(part, false).is_err() {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            }));
        }
    }
    let answer = soon(shed.join_next()).await.expect("one").expect("an answer");
    assert_eq!(answer.code(), Code::ResourceExhausted, "{:?}", answer.trailers);
    // What comes whole needs no room.
    let raw = Raw::connect(sidecar.grpc).await;
    assert_eq!(soon(raw.call(AUTHORIZE, PLAIN, good())).await.code(), Code::Ok);
    shed.abort_all();
    bodies.iter().for_each(tokio::task::JoinHandle::abort);
    drop((bodies, raw));
    // And who comes later gets the room of those who left.
    let raw = Raw::connect(sidecar.grpc).await;
    let answered = async {
        loop {
            let (mut stream, answer) = raw.begin(AUTHORIZE, &[("content-type", PLAIN)]).await;
            stream.send_data(good().slice(..9), false).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            // An error means that it was turned away already.
            let _ = stream.send_data(good().slice(9..), true);
            if answer.await.code() == Code::Ok {
                return;
            }
        }
    };
    soon(answered).await;
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:method: POST`, `:scheme: http`, `:path: /` of the static table.
const FIELDS: [u8; 3] = [0x83, 0x86, 0x84];
const REFUSED_STREAM: u32 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A peer that writes frames of its own.
async fn peer(sidecar: &Sidecar, frames: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.grpc).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream.write_all(frames).await.unwrap();
    stream
}

/// The next frame: its kind, its stream and the last number in it; none when the connection is closed.
async fn next(stream: &mut TcpStream) -> Option<(u8, u32, u32)> {
    let mut header = [0; 9];
    soon(stream.read_exact(&mut header)).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
    soon(stream.read_exact(&mut payload)).await.ok()?;
    let last = payload.last_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    Some((header[3], u32::from_be_bytes(header[5..9].try_into().unwrap()), last))
}

async fn sees(stream: &mut TcpStream, kind: u8) -> bool {
    while let Some((seen, ..)) = next(stream).await {
        if seen == kind {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn streams_over_the_limit_are_refused() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.streams_per_connection_max = 2).await;
    let frames: Vec<u8> =
        [1, 3, 5].into_iter().flat_map(|number| frame(HEADERS, END_HEADERS, number, &FIELDS)).collect();
    let mut peer = peer(&sidecar, &frames).await;
    let refused = async {
        while let Some((kind, stream, code)) = next(&mut peer).await {
            if kind == RST_STREAM && stream == 5 {
                return code;
            }
        }
        panic!("the third stream is not refused");
    };
    assert_eq!(refused.await, REFUSED_STREAM);
}

#[tokio::test]
async fn a_peer_that_resets_what_it_asks_is_sent_away() {
    let sidecar = Sidecar::start().await;
    let frames: Vec<u8> = (1..2_000)
        .step_by(2)
        .flat_map(|number| {
            let reset = frame(RST_STREAM, 0, number, &8_u32.to_be_bytes());
            [frame(HEADERS, END_HEADERS, number, &FIELDS), reset].concat()
        })
        .collect();
    let mut peer = peer(&sidecar, &frames).await;
    assert!(sees(&mut peer, GOAWAY).await);
    assert_eq!(sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_peer_that_sends_nothing_but_small_frames_is_sent_away() {
    let sidecar = Sidecar::start().await;
    let mut frames = frame(HEADERS, END_HEADERS, 1, &FIELDS);
    frames.extend(frame(DATA, 0, 1, &[]).repeat(100_000));
    let mut stream = TcpStream::connect(sidecar.grpc).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    // The server stops reading before everything is written.
    let writing = tokio::spawn(async move { writer.write_all(&frames).await });
    let mut read = Vec::new();
    let _ = soon(reader.read_to_end(&mut read)).await;
    writing.abort();
    assert!(sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.is_ok());
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.first_request_ms = 500;
        config.keepalive_timeout_ms = 50;
    })
    .await;
    let mut silent = peer(&sidecar, &[]).await;
    assert!(sees(&mut silent, GOAWAY).await);
    while next(&mut silent).await.is_some() {}
    // One that has asked may be quiet for as long as it likes.
    let raw = Raw::connect(sidecar.grpc).await;
    assert_eq!(raw.call(AUTHORIZE, PLAIN, good()).await.code(), Code::Ok);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(raw.call(AUTHORIZE, PLAIN, good()).await.code(), Code::Ok);
    // One that begins and never ends its preface is closed, too.
    let mut half = TcpStream::connect(sidecar.grpc).await.unwrap();
    half.write_all(b"PRI * HT").await.unwrap();
    while next(&mut half).await.is_some() {}
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.keepalive_interval_ms = 100;
        config.keepalive_timeout_ms = 2_000;
    })
    .await;
    // Its request stays open, so that nothing else closes it.
    let mut gone = peer(&sidecar, &frame(HEADERS, END_HEADERS, 1, &FIELDS)).await;
    assert!(sees(&mut gone, PING).await);
    while next(&mut gone).await.is_some() {}
    let raw = Raw::connect(sidecar.grpc).await;
    assert_eq!(raw.call(AUTHORIZE, PLAIN, good()).await.code(), Code::Ok);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(raw.call(AUTHORIZE, PLAIN, good()).await.code(), Code::Ok, "a peer that answers stays");
}

#[tokio::test]
async fn bad_neighbours_cost_good_ones_nothing() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.first_byte_ms = 5_000;
        config.request_timeout_ms = 10_000;
    })
    .await;
    let address = sidecar.grpc;
    let mut bad = tokio::task::JoinSet::new();
    for kind in 0..4_u8 {
        bad.spawn(async move {
            loop {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                let bytes: Vec<u8> = match kind {
                    0 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                    1 => Vec::new(),
                    2 => {
                        let open = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                        let half = frame(HEADERS, END_HEADERS, 1, &FIELDS);
                        [open, frame(SETTINGS, 0, 0, &[]), half].concat()
                    }
                    _ => {
                        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                        bytes.extend(frame(SETTINGS, 0, 0, &[]));
                        for number in (1..400).step_by(2) {
                            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, number, &FIELDS));
                            bytes.extend(frame(RST_STREAM, 0, number, &8_u32.to_be_bytes()));
                        }
                        bytes
                    }
                };
                let _ = stream.write_all(&bytes).await;
                let _ = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut [0; 64])).await;
            }
        });
    }
    let mut good_ones = tokio::task::JoinSet::new();
    for number in 0..8 {
        let raw = Raw::connect(address).await;
        good_ones.spawn(async move {
            for _ in 0..200 {
                let path = if number % 2 == 0 { AUTHORIZE } else { STREAM };
                let body = match path {
                    AUTHORIZE => good(),
                    _ => {
                        let request = Some(question(ALICE, "orders:GetOrder", ORDER));
                        framed(&v1::AuthorizeStreamRequest { correlation_id: String::new(), request }).into()
                    }
                };
                assert_eq!(raw.call(path, PLAIN, body).await.code(), Code::Ok);
            }
        });
    }
    while let Some(good) = soon(good_ones.join_next()).await {
        good.unwrap();
    }
    bad.abort_all();
}
