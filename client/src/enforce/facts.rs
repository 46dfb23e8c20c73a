//! What is told of a request beside its action and resource: who calls, and over which connection.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::request::Parts;

use super::caller::Caller;
use super::mapper::Need;
use super::refusal::Why;
use crate::request::{Request, Value};

type Read<T> = Arc<dyn Fn(&Parts) -> Option<T> + Send + Sync>;

/// Where the facts come from.
#[derive(Clone, Default)]
pub(super) struct Facts {
    pub(super) caller: Option<Read<Caller>>,
    pub(super) source_ip: Option<Read<IpAddr>>,
    pub(super) secure_transport: Option<bool>,
}

impl Facts {
    /// The whole question, or none when nothing is needed.
    pub(super) fn question(&self, need: Need, head: &Parts) -> Result<Option<Request>, Why> {
        let Some(mut request) = need.request else { return Ok(None) };
        let caller = match &self.caller {
            Some(read) => read(head).map(Cow::Owned),
            None => head.extensions.get::<Caller>().map(Cow::Borrowed),
        };
        let Caller { principal, session, context } = caller.ok_or(Why::NoCaller)?.into_owned();
        request.message.principal = principal;
        if let Some(session) = session {
            request = request.session(session);
        }
        request = context.into_iter().fold(request, |request, (key, value)| with(request, key, value));
        Ok(Some(self.with_connection(request, head)))
    }

    fn with_connection(&self, mut request: Request, head: &Parts) -> Request {
        let peer = Peer::of(head);
        let address = self.source_ip.as_ref().map_or(peer.address, |read| read(head));
        if let Some(address) = address {
            request = with(request, "aws:SourceIp", address);
        }
        // Policies deny what is false, and a missing key would switch such a Deny off.
        request = with(request, "aws:SecureTransport", self.secure_transport.unwrap_or(peer.is_secure));
        if let Some(agent) = head.headers.get(USER_AGENT) {
            request = with(request, "aws:UserAgent", String::from_utf8_lossy(agent.as_bytes()).into_owned());
        }
        // Of a gRPC call, too: what looks like one is so by a header that the client chooses, and could leave the key out.
        with(request, "http:Method", head.method.as_str())
    }
}

/// With a key, unless it is there; the engine takes no key twice, and keys ignore case.
fn with(request: Request, key: impl Into<String> + AsRef<str>, value: impl Into<Value>) -> Request {
    let is_there = request.message.context.keys().any(|other| other.eq_ignore_ascii_case(key.as_ref()));
    if is_there { request } else { request.context(key, value) }
}

/// The other end of the connection, as far as the server tells.
#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    address: Option<IpAddr>,
    is_secure: bool,
}

impl Peer {
    fn of(head: &Parts) -> Self {
        #[cfg(feature = "axum")]
        {
            use axum::extract::ConnectInfo;
            use std::net::SocketAddr;
            if let Some(ConnectInfo(address)) = head.extensions.get::<ConnectInfo<SocketAddr>>() {
                return Self { address: Some(address.ip()), is_secure: false };
            }
        }
        #[cfg(feature = "tonic")]
        {
            use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
            if let Some(tls) = head.extensions.get::<TlsConnectInfo<TcpConnectInfo>>() {
                let address = tls.get_ref().remote_addr().map(|address| address.ip());
                return Self { address, is_secure: true };
            }
            if let Some(tcp) = head.extensions.get::<TcpConnectInfo>() {
                return Self { address: tcp.remote_addr().map(|address| address.ip()), is_secure: false };
            }
        }
        let _ = head;
        Self::default()
    }
}
