//! A client below gRPC: it says what it likes in whatever frames, and sees what really comes back.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) const AUTHORIZE: &str = "/portcullis.v1.AuthorizationService/Authorize";
pub(crate) const BATCH: &str = "/portcullis.v1.AuthorizationService/BatchAuthorize";
pub(crate) const STREAM: &str = "/portcullis.v1.AuthorizationService/AuthorizeStream";

/// What plain calls say.
pub(crate) const PLAIN: &str = "application/grpc";
/// What no client says and gRPC allows: a call that says so goes through the routes.
pub(crate) const ROUTED: &str = "application/grpc; plain=no";

/// One connection.
#[derive(Clone)]
pub(crate) struct Raw(SendRequest<Bytes>);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// Those of the end; the head when there is nothing else.
    pub(crate) trailers: HeaderMap,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &h2::client::Builder::new()).await
    }

    pub(crate) async fn with(address: SocketAddr, builder: &h2::client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // The parts of a call are small, and none waits for another.
        stream.set_nodelay(true).unwrap();
        Self::over(stream, builder).await
    }

    /// On any stream of bytes.
    pub(crate) async fn over<S>(stream: S, builder: &h2::client::Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        // It ends with the last handle, or with an error that the calls see.
        tokio::spawn(connection);
        Self(requests)
    }

    /// Begins a call whose body is still to come.
    pub(crate) async fn begin(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> (SendStream<Bytes>, impl Future<Output = Answer> + Send + use<>) {
        let mut request = Request::post(format!("http://localhost{path}")).header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = self.0.clone().ready().await.unwrap();
        let (response, stream) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        let answer = async move {
            let (head, body) = response.await.unwrap().into_parts();
            assert_eq!(head.status, 200);
            let (body, trailers) = read(body).await;
            Answer { body, trailers: trailers.unwrap_or(head.headers) }
        };
        (stream, answer)
    }

    /// Makes a call with a whole body.
    pub(crate) async fn call(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let (mut stream, answer) = self.begin(path, &[("content-type", content_type)]).await;
        // An error means that the answer came first.
        let _ = send_all(&mut stream, body.into()).await;
        answer.await
    }
}

/// Sends a body as the server makes room for it.
pub(crate) async fn send_all(stream: &mut SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(room) = room else { return Err(h2::Reason::CANCEL.into()) };
        let part = body.split_to(room?.min(body.len()));
        stream.send_data(part, false)?;
    }
    stream.send_data(Bytes::new(), true)
}

async fn read(mut body: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.unwrap();
        let _ = body.flow_control().release_capacity(part.len());
        bytes.extend(part);
    }
    (bytes, body.trailers().await.unwrap())
}

impl Answer {
    /// gRPC's code.
    pub(crate) fn code(&self) -> tonic::Code {
        tonic::Code::from_bytes(self.trailers.get("grpc-status").expect("a status").as_bytes())
    }

    /// The reason that the status carries.
    pub(crate) fn reason(&self) -> String {
        crate::sidecar::reason(&tonic::Status::from_header_map(&self.trailers).expect("a status"))
    }

    /// The messages of a good answer.
    pub(crate) fn messages<M: Message + Default>(&self) -> Vec<M> {
        assert_eq!(self.code(), tonic::Code::Ok, "{:?}", self.trailers);
        let (mut messages, mut rest) = (Vec::new(), &self.body[..]);
        while let Some((&[compressed, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
            assert_eq!(compressed, 0);
            let (message, after) = after.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
            messages.push(M::decode(message).unwrap());
            rest = after;
        }
        assert!(rest.is_empty());
        messages
    }
}

/// A message with its prefix.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    framed_bytes(&message.encode_to_vec())
}

pub(crate) fn framed_bytes(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}
