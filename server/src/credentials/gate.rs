//! What a connection has to show, by the listener that it came from.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Credentials;
use crate::accept::{Peer, Socket};
use crate::config::Config;
use crate::tls::Tls;
use crate::token::Tokens;

/// Stands before every connection. TCP is protected when there is a certificate; a Unix socket never is, because the
/// system knows who is at its other end.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    credentials: Credentials,
    uds_token_exempt: bool,
    draining: CancellationToken,
}

/// What is settled about a connection before it speaks HTTP/2.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) peer: Peer,
    /// What its calls need; none when they need none.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// Comes when it has to leave.
    pub(crate) leaving: CancellationToken,
}

impl Gate {
    pub(crate) fn new(credentials: Credentials, config: &Config, draining: CancellationToken) -> Self {
        Self { credentials, uds_token_exempt: config.uds_token_exempt, draining }
    }

    /// Comes when the process ends.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// What a connection needs, and what it is to be protected with first.
    pub(crate) fn entry(&self, socket: &Socket) -> (Entry, Option<&Tls>) {
        let (tls, exempt) = match socket {
            Socket::Tcp(_) => (self.credentials.tls.as_deref(), false),
            Socket::Unix(_) => (None, self.uds_token_exempt),
        };
        let tokens = self.credentials.tokens.clone().filter(|_| !exempt);
        let leaving = match tls.is_some() || tokens.is_some() {
            true => self.credentials.leaving(),
            false => self.draining.child_token(),
        };
        (Entry { peer: socket.peer(), tokens, leaving }, tls)
    }
}
