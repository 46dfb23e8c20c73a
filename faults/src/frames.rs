//! HTTP/2 below any library: frames as bytes, for peers that keep to no rule.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::sidecar::NEVER;

pub(crate) const AUTHORIZE: &str = "/portcullis.v1.AuthorizationService/Authorize";
pub(crate) const BATCH: &str = "/portcullis.v1.AuthorizationService/BatchAuthorize";
pub(crate) const SIMULATE: &str = "/portcullis.v1.AuthorizationService/Simulate";
pub(crate) const STREAM: &str = "/portcullis.v1.AuthorizationService/AuthorizeStream";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_HEADERS: u8 = 4;
/// `:method: POST`, `:scheme: http`, `:path: /` of the static table.
pub(crate) const FIELDS: [u8; 3] = [0x83, 0x86, 0x84];
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&[a, b, c, kind, flags], stream.to_be_bytes().as_slice(), payload].concat()
}

/// The header block of an `Authorize` call, without an index, so that no table is needed.
pub(crate) fn call_fields(more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let all = [
        (":path", AUTHORIZE),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in all.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// HPACK's integer with a prefix of seven bits.
fn integer(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        block.push(u8::try_from(value).unwrap_or_default());
        return;
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push(u8::try_from(value % 128).unwrap_or_default() | 128);
        value /= 128;
    }
    block.push(u8::try_from(value).unwrap_or_default());
}

/// A peer that writes frames of its own.
pub(crate) struct Attacker {
    pub(crate) read: OwnedReadHalf,
    pub(crate) write: OwnedWriteHalf,
}

/// How an attack came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was sent away, with this error code.
    GoAway(u32),
    /// The connection was closed without a word.
    Closed,
    /// It is still let in.
    Open,
}

impl Attacker {
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        write.write_all(PREFACE).await?;
        write.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(Self { read, write })
    }

    /// Writes as much as is let in, reading meanwhile; how it ends, and how many of the chunks went out.
    pub(crate) async fn attack(self, chunks: impl Iterator<Item = Vec<u8>>) -> (End, usize) {
        let Self { read, mut write } = self;
        let reader = tokio::spawn(end(read));
        let mut sent = 0;
        for chunk in chunks {
            if reader.is_finished() || !matches!(timeout(NEVER, write.write_all(&chunk)).await, Ok(Ok(()))) {
                break;
            }
            sent += 1;
        }
        // What is on its way gets its answer.
        let patience = tokio::time::sleep(Duration::from_secs(3));
        let end = tokio::select! {
            end = reader => end.unwrap_or(End::Closed),
            () = patience => End::Open,
        };
        (end, sent)
    }
}

/// Reads to the end, which is a GOAWAY with an error or the end of the connection.
async fn end(mut read: OwnedReadHalf) -> End {
    while let Some(seen) = next(&mut read).await {
        if seen.kind == GOAWAY {
            return End::GoAway(seen.code);
        }
    }
    End::Closed
}

/// A frame as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// Of a GOAWAY or RST_STREAM: why.
    pub(crate) code: u32,
}

/// The next frame; none at the end.
pub(crate) async fn next(read: &mut OwnedReadHalf) -> Option<Seen> {
    let mut header = [0; 9];
    read.read_exact(&mut header).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = header;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    read.read_exact(&mut payload).await.ok()?;
    let number = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let code = match kind {
        GOAWAY => number(payload.get(4..8)),
        RST_STREAM => number(payload.get(..4)),
        _ => None,
    };
    Some(Seen { kind, flags, stream: u32::from_be_bytes(stream), code: code.unwrap_or_default() })
}

/// A gRPC caller that says what it likes.
#[derive(Clone)]
pub(crate) struct Caller(SendRequest<Bytes>);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// Those of the end; the head when there is nothing else.
    pub(crate) trailers: HeaderMap,
}

impl Caller {
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::over(stream).await
    }

    /// Over the service's socket.
    pub(crate) async fn connect_unix(path: &Path) -> anyhow::Result<Self> {
        Self::over(UnixStream::connect(path).await?).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<Self> {
        let (requests, connection) = h2::client::Builder::new().handshake(stream).await?;
        // It ends with the last handle, or with an error that the calls see.
        tokio::spawn(connection);
        Ok(Self(requests))
    }

    /// Begins a call whose body is still to come.
    pub(crate) async fn begin(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<(h2::SendStream<Bytes>, h2::client::ResponseFuture)> {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = self.0.clone().ready().await?;
        let (response, stream) = requests.send_request(request.body(())?, false)?;
        Ok((stream, response))
    }

    /// A call with a whole body.
    pub(crate) async fn call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let (mut stream, response) = self.begin(path, headers).await?;
        // An error means that the answer came first.
        let _ = send(&mut stream, body).await;
        timeout(NEVER, answer(response)).await.context("no answer")?
    }
}

/// The whole answer of a call.
pub(crate) async fn answer(response: h2::client::ResponseFuture) -> anyhow::Result<Answer> {
    let (head, mut body) = response.await?.into_parts();
    ensure!(head.status == 200, "HTTP {}", head.status);
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        let _ = body.flow_control().release_capacity(part.len());
        bytes.extend(part);
    }
    let trailers = body.trailers().await?;
    Ok(Answer { body: bytes, trailers: trailers.unwrap_or(head.headers) })
}

/// Sends bytes as the server makes room for them, and then neither ends nor leaves until there is an answer.
pub(crate) async fn send_open(
    mut stream: h2::SendStream<Bytes>,
    body: Bytes,
    response: h2::client::ResponseFuture,
) {
    // Whatever comes of it, the stream is held as long as the peer lets it be.
    let _ = send_part(&mut stream, body).await;
    let _ = answer(response).await;
}

/// Sends a body as the server makes room for it.
async fn send(stream: &mut h2::SendStream<Bytes>, body: Bytes) -> Result<(), h2::Error> {
    send_part(stream, body).await?;
    stream.send_data(Bytes::new(), true)
}

async fn send_part(stream: &mut h2::SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(room) = room else { return Err(h2::Reason::CANCEL.into()) };
        let part = body.split_to(room?.min(body.len()));
        stream.send_data(part, false)?;
    }
    Ok(())
}

impl Answer {
    /// gRPC's code as its number.
    pub(crate) fn code(&self) -> anyhow::Result<i32> {
        let status = self.trailers.get("grpc-status").context("no grpc-status")?;
        Ok(status.to_str()?.parse()?)
    }
}

/// A message with its prefix.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    framed_bytes(0, &message.encode_to_vec())
}

/// Any bytes with a prefix that calls them a message.
pub(crate) fn framed_bytes(compressed: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    Bytes::from([&[compressed], length.as_slice(), message].concat())
}
