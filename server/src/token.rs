//! Bearer tokens: which call may be made with which.
//!
//! Each call is judged by itself, so a token that is taken away is refused from the next call on. Health is asked
//! without a token: probes have none, and it says only whether questions are taken. Invariants: (NOT-KEPT) tokens are not
//! kept in memory, only their digests, and the header is taken off a request before anything else sees it;
//! (ALL-COMPARED) a digest is compared with all others in constant time.

mod file;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use blake3::Hash;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request};
use subtle::ConstantTimeEq as _;

use crate::accept::Peer;
use crate::config::{Config, Finding};
use crate::credentials::{CredentialFile, Reading, Renewable, Renewed};
use crate::grpc::Refusal;

const TOKEN_FILE: &str = "token_file";
const HEALTH: &str = "/grpc.health.v1.Health/";
const REFLECTION: &str = "/grpc.reflection.";

/// The calls that a token may be for, with their paths; reflection is one more, with several.
const METHODS: [(&str, &str); 9] = [
    ("Authorize", "/portcullis.v1.AuthorizationService/Authorize"),
    ("BatchAuthorize", "/portcullis.v1.AuthorizationService/BatchAuthorize"),
    ("AuthorizeStream", "/portcullis.v1.AuthorizationService/AuthorizeStream"),
    ("Simulate", "/portcullis.v1.AuthorizationService/Simulate"),
    ("ListContextKeys", "/portcullis.v1.AuthorizationService/ListContextKeys"),
    ("GetStatus", "/portcullis.v1.PolicySetService/GetStatus"),
    ("WatchRevisions", "/portcullis.v1.PolicySetService/WatchRevisions"),
    ("WaitForRevision", "/portcullis.v1.PolicySetService/WaitForRevision"),
    ("WatchPolicySet", "/portcullis.v1.PolicySetService/WatchPolicySet"),
];
const REFLECTION_NAME: &str = "Reflection";
/// Where its bit is.
const REFLECTION_AT: usize = METHODS.len();

/// The tokens in use.
pub(crate) struct Tokens {
    files: Vec<CredentialFile>,
    current: RwLock<Arc<TokenSet>>,
}

/// Tokens as one file had them.
pub(crate) struct TokenSet {
    tokens: Vec<Token>,
    digest: Hash,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    name: Arc<str>,
    hash: [u8; 32],
    methods: Methods,
}

/// The calls that a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Methods(u16);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Methods {
    /// What is asked of a sidecar by whoever enforces its decisions.
    const DECISIONS: Self = Self(0b111);
    /// Every call, those that are not known here included.
    const ALL: Self = Self(u16::MAX);

    fn named(name: &str) -> Option<Self> {
        let at = match name {
            REFLECTION_NAME => REFLECTION_AT,
            _ => METHODS.iter().position(|(known, _)| *known == name)?,
        };
        Some(Self(1 << at))
    }

    fn of_path(path: &str) -> Self {
        match METHODS.iter().position(|(_, known)| *known == path) {
            Some(at) => Self(1 << at),
            None if path.starts_with(REFLECTION) => Self(1 << REFLECTION_AT),
            None => Self::ALL,
        }
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Tokens {
    /// Reads the file of the configuration; none when it names none.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn load(config: &Config) -> Result<Option<Self>, Vec<Finding>> {
        let Some(file) = CredentialFile::secret(TOKEN_FILE, &config.token_file) else { return Ok(None) };
        let files = vec![file];
        let set = TokenSet::of(&Reading::of(&files))?;
        Ok(Some(Self { files, current: RwLock::new(Arc::new(set)) }))
    }

    /// Those in use now.
    pub(crate) fn current(&self) -> Arc<TokenSet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TokenSet {
    fn of(reading: &Reading) -> Result<Self, Vec<Finding>> {
        let mut wrong = Vec::new();
        let Some((file, bytes)) = reading.text(TOKEN_FILE, &mut wrong) else { return Err(wrong) };
        let tokens = file::parse(bytes).map_err(|sentences| {
            sentences.into_iter().map(|sentence| file.finding(sentence)).collect::<Vec<_>>()
        })?;
        Ok(Self { tokens, digest: reading.digest() })
    }

    /// Lets a call pass, and takes the token off it. Gives the token's name, where one was needed.
    ///
    /// # Errors
    /// Without a token that is in use, or with one that is not for this call.
    pub(crate) fn admit<B>(&self, request: &mut Request<B>) -> Result<Option<Arc<str>>, Refusal> {
        let hash = presented(request.headers()).map(blake3::hash);
        request.headers_mut().remove(AUTHORIZATION);
        let path = request.uri().path();
        if path.starts_with(HEALTH) {
            return Ok(None);
        }
        let mut found = None;
        for token in &self.tokens {
            if hash.is_some_and(|hash| token.hash.ct_eq(hash.as_bytes()).into()) {
                found = Some(token);
            }
        }
        match found {
            None => Err(Refusal::Unauthenticated),
            Some(token) if token.methods.contains(Methods::of_path(path)) => {
                Ok(Some(Arc::clone(&token.name)))
            }
            Some(_) => Err(Refusal::NotPermitted),
        }
    }

    /// Whether somebody may do something now that may not be done with `new`.
    fn narrows_to(&self, new: &Self) -> bool {
        let kept = |old: &Token| {
            new.tokens.iter().any(|new| new.hash == old.hash && new.methods.contains(old.methods))
        };
        !self.tokens.iter().all(kept)
    }
}

/// A peer by the token that it shows, kept from call to call.
#[derive(Debug, Default)]
pub(crate) struct Caller(Option<(Arc<str>, Peer)>);

impl Caller {
    /// Who makes a call: the peer, known by the name of its token as well.
    ///
    /// # Errors
    /// As [`TokenSet::admit`].
    pub(crate) fn admit<'a, B>(
        &'a mut self,
        tokens: &TokenSet,
        request: &mut Request<B>,
        peer: &'a Peer,
    ) -> Result<&'a Peer, Refusal> {
        let Some(name) = tokens.admit(request)? else { return Ok(peer) };
        if self.0.as_ref().is_none_or(|(last, _)| *last != name) {
            self.0 = Some((Arc::clone(&name), peer.known_as(&format!("token:{name}"))));
        }
        Ok(self.0.as_ref().map_or(peer, |(_, known)| known))
    }
}

/// The one token that a request has.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().map(HeaderValue::as_bytes)?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, rest) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(rest.trim_ascii())
}

/// Reads a file of tokens and counts them.
#[cfg(feature = "fuzzing")]
pub(crate) fn count_tokens(bytes: &[u8]) -> Result<usize, Vec<String>> {
    file::parse(bytes).map(|tokens| tokens.len())
}

impl Renewable for Tokens {
    fn files(&self) -> &[CredentialFile] {
        &self.files
    }

    fn active(&self) -> Hash {
        self.current().digest
    }

    fn renew(&self, reading: &Reading) -> Result<Renewed, Vec<Finding>> {
        let new = Arc::new(TokenSet::of(reading)?);
        let names: Vec<_> = new.tokens.iter().map(|token| token.name.to_string()).collect();
        let old = std::mem::replace(
            &mut *self.current.write().unwrap_or_else(PoisonError::into_inner),
            Arc::clone(&new),
        );
        Ok(Renewed { details: vec![("tokens", names.into())], narrower: old.narrows_to(&new) })
    }
}

#[cfg(test)]
mod tests;
