//! Bytes to the real listener: whatever comes, the connection ends, nothing panics, and others are answered.
//!
//! The server runs in this process, on a Unix socket, with short times.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_proto::v1;
use portcullis_server::{Config, Listeners};
use portcullis_store::Store;
use prost::Message as _;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
/// Far longer than all times of the server together.
const NEVER: Duration = Duration::from_secs(20);
/// So often somebody else asks.
const ASKED_EACH: u64 = 16;

pub(crate) const WORDS: &[&str] = &[
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "content-type",
    "application/grpc",
    "te",
    "trailers",
    "grpc-timeout",
    "1n",
    "/portcullis.v1.AuthorizationService/Authorize",
    "/portcullis.v1.AuthorizationService/BatchAuthorize",
    "/portcullis.v1.AuthorizationService/AuthorizeStream",
    "/grpc.health.v1.Health/Watch",
    ":path",
    "authorization",
    "\u{0}\u{0}\u{0}\u{0}\u{5}hello",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
];

/// Panics on threads of the server, those that it caught and answered included.
static PANICS: AtomicU64 = AtomicU64::new(0);

struct Server {
    socket: PathBuf,
    http: String,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let main = std::thread::current().id();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() != main {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
        let folder = tempfile::tempdir().expect("a folder").keep();
        let policies = folder.join("policies");
        std::fs::create_dir(&policies).expect("a folder");
        std::fs::write(policies.join("a.json"), POLICIES).expect("a file");
        let config = Config {
            listen: String::new(),
            uds: Some(folder.join("s")),
            http_listen: "127.0.0.1:0".to_owned(),
            worker_threads: 1,
            first_byte_ms: 100,
            first_request_ms: 100,
            request_timeout_ms: 100,
            revision_wait_ms: 100,
            keepalive_interval_ms: 100,
            keepalive_timeout_ms: 100,
            connection_age_max_ms: 1_000,
            ..Config::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = Box::leak(Box::new(runtime.expect("a runtime")));
        let socket = folder.join("s");
        let http = runtime.block_on(async {
            let listeners = Listeners::bind(&config).await.expect("free places");
            let http = listeners.http_address().expect("an address").to_string();
            let store = Store::open(config.store_options(&policies));
            let mut generations = store.subscribe();
            runtime.spawn(portcullis_server::run(config, store, listeners, std::future::pending()));
            generations.wait_for(|generation| *generation > 0).await.expect("policies");
            http
        });
        let server = Server { socket, http };
        assert_eq!(asked(&server), Ok(true), "a plain question is not answered at all");
        server
    })
}

const POLICIES: &str = r#"{"UserDetailList":[{"UserName":"alice","Arn":"arn:aws:iam::111111111111:user/alice",
    "UserPolicyList":[{"PolicyName":"p","PolicyDocument":{"Version":"2012-10-17",
        "Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}}]}]}"#;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags], stream.to_be_bytes().as_slice(), payload].concat()
}

/// The header block of a call, without an index.
fn fields(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in
        [(":path", path), (":authority", "l"), ("content-type", "application/grpc"), ("te", "trailers")]
    {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

fn question() -> Vec<u8> {
    let message = v1::AuthorizeRequest {
        principal: "arn:aws:iam::111111111111:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::b/k".to_owned(),
        ..v1::AuthorizeRequest::default()
    };
    let bytes = message.encode_to_vec();
    [&[0], (bytes.len() as u32).to_be_bytes().as_slice(), &bytes].concat()
}

const AUTHORIZE: &str = "/portcullis.v1.AuthorizationService/Authorize";

fn plain_call() -> Vec<u8> {
    let headers = frame(HEADERS, END_HEADERS, 1, &fields(AUTHORIZE));
    [PREFACE, &frame(4, 0, 0, &[]), &headers, &frame(0, END_STREAM, 1, &question())].concat()
}

/// Input in parts: one byte of kind, one of flags, one of stream, one of length, then as many bytes.
fn framed(mut input: &[u8]) -> Vec<u8> {
    let mut bytes = [PREFACE, &frame(4, 0, 0, &[])].concat();
    while let [kind, flags, stream, length, rest @ ..] = input {
        let (payload, more) = rest.split_at(rest.len().min(usize::from(*length)));
        // Some headers are worth little unless they are whole ones.
        let payload = match (*kind % 12, payload.first()) {
            (HEADERS, Some(byte)) if byte & 1 == 0 => [&fields(AUTHORIZE), &payload[1..]].concat(),
            _ => payload.to_vec(),
        };
        bytes.extend(frame(*kind % 12, *flags, u32::from(*stream % 8), &payload));
        input = more;
    }
    bytes
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let parts = |parts: &[(u8, u8, u8, &[u8])]| {
        let mut seed = vec![1];
        for (kind, flags, stream, payload) in parts {
            seed.extend([*kind, *flags, *stream, payload.len() as u8]);
            seed.extend(*payload);
        }
        seed
    };
    let raw = |bytes: &[u8]| [&[0], bytes].concat();
    let asked = question();
    vec![
        raw(&plain_call()),
        raw(PREFACE),
        raw(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n"),
        raw(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
        parts(&[(HEADERS, END_HEADERS, 1, &[0]), (0, END_STREAM, 1, &asked)]),
        parts(&[(HEADERS, END_HEADERS, 1, &[0]), (0, 0, 1, &asked[..9]), (0, END_STREAM, 1, &asked[9..])]),
        parts(&[(HEADERS, END_HEADERS, 1, &[0]), (3, 0, 1, &[0, 0, 0, 8]), (6, 0, 0, &[0; 8])]),
        parts(&[(HEADERS, END_HEADERS, 1, &[0]), (8, 0, 1, &[0x7f, 0xff, 0xff, 0xff])]),
        parts(&[(HEADERS, 0, 1, &[0]), (9, END_HEADERS, 1, &[]), (0, END_STREAM, 1, &asked)]),
        parts(&[(4, 0, 0, &[0, 3, 0, 0, 0, 0]), (4, 1, 0, &[]), (7, 0, 0, &[0; 8]), (2, 0, 3, &[0; 5])]),
        parts(&[
            (HEADERS, END_HEADERS | END_STREAM, 1, &[0]),
            (HEADERS, END_HEADERS, 3, &[0]),
            (0, 8, 3, &[2, 0, 0, 0]),
        ]),
    ]
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let many = |part: &[u8]| [&[1], part.repeat(4_000).as_slice()].concat();
    vec![
        many(&[HEADERS, END_HEADERS, 1, 1, 0, 3, 0, 1, 4, 0, 0, 0, 8]),
        many(&[0, 0, 1, 0]),
        many(&[6, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
        many(&[9, 0, 1, 4, 0, 1, b'a', 0]),
        [&[0], [0xff].repeat(1 << 16).as_slice()].concat(),
    ]
}

pub(crate) fn check(input: &[u8]) {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let Some((way, rest)) = input.split_first() else { return };
    let server = server();
    let before = PANICS.load(Ordering::SeqCst);
    let bytes = if way & 1 == 0 { rest.to_vec() } else { framed(rest) };
    talk(server, &bytes, way & 2 != 0);
    assert_eq!(PANICS.load(Ordering::SeqCst), before, "a thread of the server panicked");
    if TURN.fetch_add(1, Ordering::Relaxed) % ASKED_EACH == 0 {
        assert_eq!(asked(server), Ok(true), "somebody else is not answered");
        assert!(page(server).lines().any(|line| line == "portcullis_panics_total 0"), "a panic is counted");
    }
}

/// Writes everything and reads to the end, which must come. A peer may go on listening, or go away at once.
fn talk(server: &Server, bytes: &[u8], leaves: bool) {
    let mut stream = connect(server);
    // The server may have had enough before everything is written.
    let _ = stream.write_all(bytes);
    if leaves {
        return;
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!late, "the connection does not end within {} s", NEVER.as_secs());
    }
}

fn connect(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(&server.socket).expect("the server takes connections");
    stream.set_read_timeout(Some(NEVER)).expect("a time");
    stream.set_write_timeout(Some(NEVER)).expect("a time");
    stream
}

/// Whether alice may read, asked on a connection of its own.
fn asked(server: &Server) -> Result<bool, String> {
    let mut stream = connect(server);
    stream.write_all(&plain_call()).map_err(|error| error.to_string())?;
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).map_err(|error| error.to_string())?;
        let [a, b, c, kind, flags, stream_id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).map_err(|error| error.to_string())?;
        if u32::from_be_bytes(stream_id) != 1 {
            continue;
        }
        match kind {
            0 => body.extend(payload),
            3 => return Err("it was reset".to_owned()),
            _ => {}
        }
        if flags & END_STREAM != 0 && kind < 2 {
            let message = body.get(5..).ok_or("no message")?;
            let answer = v1::AuthorizeResponse::decode(message).map_err(|error| error.to_string())?;
            return Ok(answer.decision() == v1::Decision::Allow);
        }
    }
}

fn page(server: &Server) -> String {
    let mut stream = TcpStream::connect(&server.http).expect("the page");
    stream.set_read_timeout(Some(NEVER)).expect("a time");
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
