//! One decision as bytes: what the deciding thread leaves behind, and how the writer reads it.
//!
//! The deciding thread copies texts into a buffer that it uses again and again; it formats, escapes and allocates
//! nothing. Long texts are cut here, so that the queue is bounded in bytes as well, and a cut text says how long it was.
//!
//! Invariant: bytes written by [`decision`] are read back by [`Reader`] field for field; both are in this file. A reader
//! that runs out of bytes yields nothing rather than a wrong record.

mod reader;

use std::net::IpAddr;
use std::time::Duration;

use portcullis_engine::{ContextValue, Decision, Effect, Instant, Layer, Reason, RequestInput};

pub(super) use self::reader::{Cut, Reader, Taken};
use super::text_limits::{
    CONTEXT_BYTES_MAX, LIST_VALUES_MAX, MESSAGE_BYTES_MAX, STATEMENTS_MAX, TEXT_BYTES_MAX, VALUE_BYTES_MAX,
};

/// The peer that asked the sidecar: the enforcing service, not the principal it asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Peer<'a> {
    /// Not known.
    #[default]
    Unknown,
    /// Over TCP, from this address.
    Ip(IpAddr),
    /// Over a Unix socket, with the uid and gid that the kernel vouches for.
    Unix {
        /// User id at the time of the connect.
        uid: u32,
        /// Group id at the time of the connect.
        gid: u32,
    },
    /// Over TCP, and known by what it has shown: the name in its certificate, the name of its token.
    Known {
        /// Where from.
        ip: IpAddr,
        /// The name, with its kind in front.
        name: &'a str,
    },
}

/// One decision as its maker has it, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a, 'p> {
    /// What was asked, before the engine folded it. Its `now` is the time of the record.
    pub input: &'a RequestInput<'a>,
    /// What was answered.
    pub decision: &'a Decision<'p>,
    /// The answer's sentence; recorded for a deny only, so an allow may leave it empty.
    pub message: &'a str,
    /// Revision of the policies that answered.
    pub revision: &'a str,
    /// Generation of the policies that answered.
    pub generation: u64,
    /// The id that the answer carries.
    pub request_id: &'a str,
    /// Time from the clock reading of the question until it was answered; `None` when it was not measured.
    pub latency: Option<Duration>,
    /// Who asked the sidecar.
    pub peer: Peer<'a>,
    /// User agent of the peer; empty when not known.
    pub user_agent: &'a str,
}

/// What an entry of the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Decision,
    Service,
    Gap,
}

impl Kind {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Decision => 1,
            Self::Service => 2,
            Self::Gap => 3,
        }
    }

    pub(super) fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Decision),
            2 => Some(Self::Service),
            3 => Some(Self::Gap),
            _ => None,
        }
    }
}

/// Appends one decision.
pub(super) fn decision(out: &mut Vec<u8>, decided: &Decided<'_, '_>) {
    let Decided { input, decision, message, request_id, latency, .. } = *decided;
    out.push(Kind::Decision.byte());
    out.extend_from_slice(&input.now.seconds().to_le_bytes());
    out.extend_from_slice(&input.now.nanos().to_le_bytes());
    // Nanoseconds and one; 0 is unknown.
    let latency =
        latency.map_or(0, |latency| u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).saturating_add(1));
    out.extend_from_slice(&latency.to_le_bytes());
    text(out, request_id, TEXT_BYTES_MAX);
    section(out, |out| how(out, decided));
    section(out, |out| {
        text(out, input.principal, TEXT_BYTES_MAX);
        text(out, decision.principal.and_then(|principal| principal.id).unwrap_or_default(), TEXT_BYTES_MAX);
        text(out, decision.principal.map(|principal| principal.arn).unwrap_or_default(), TEXT_BYTES_MAX);
        session(out, input);
    });
    text(out, input.action, TEXT_BYTES_MAX);
    text(out, input.resource, TEXT_BYTES_MAX);
    text(out, input.resource_account.unwrap_or_default(), TEXT_BYTES_MAX);
    text(out, if decision.effect == Effect::Deny { message } else { "" }, MESSAGE_BYTES_MAX);
    section(out, |out| context(out, input.context));
    statements(out, decision);
    texts(out, decision.missing_context_keys.iter().copied(), decision.missing_context_keys.len());
}

/// What is the same for many decisions of one caller.
fn how(out: &mut Vec<u8>, decided: &Decided<'_, '_>) {
    let Decided { decision, revision, generation, peer, user_agent, .. } = *decided;
    out.extend_from_slice(&[
        effect_byte(decision.effect),
        reason_byte(decision.reason),
        layer_byte(decision.layer),
    ]);
    out.extend_from_slice(&generation.to_le_bytes());
    text(out, revision, TEXT_BYTES_MAX);
    write_peer(out, peer);
    text(out, user_agent, VALUE_BYTES_MAX);
}

/// What `write` writes, after its length.
fn section(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - start - 4) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

fn write_peer(out: &mut Vec<u8>, peer: Peer<'_>) {
    match peer {
        Peer::Unknown => out.push(0),
        Peer::Ip(ip) => write_ip(out, ip),
        Peer::Unix { uid, gid } => {
            out.push(1);
            number(out, uid.into());
            number(out, gid.into());
        }
        Peer::Known { ip, name } => {
            out.push(2);
            write_ip(out, ip);
            text(out, name, VALUE_BYTES_MAX);
        }
    }
}

fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
}

/// The context, up to [`CONTEXT_BYTES_MAX`]; then the number of entries left out.
fn context(out: &mut Vec<u8>, context: &[(&str, ContextValue<'_>)]) {
    let end = out.len().saturating_add(CONTEXT_BYTES_MAX);
    number(out, context.len() as u64);
    for (at, (key, value)) in context.iter().enumerate() {
        if out.len() > end {
            out.push(LEFT_OUT);
            number(out, (context.len() - at) as u64);
            return;
        }
        match *value {
            ContextValue::Text(value) => {
                out.push(TEXT);
                text(out, key, TEXT_BYTES_MAX);
                text(out, value, VALUE_BYTES_MAX);
            }
            ContextValue::Bool(value) => {
                out.push(if value { TRUE } else { FALSE });
                text(out, key, TEXT_BYTES_MAX);
            }
            ContextValue::List(values) => {
                out.push(LIST);
                text(out, key, TEXT_BYTES_MAX);
                texts(out, values.iter().map(String::as_str), values.len());
            }
        }
    }
}

const TEXT: u8 = 1;
const TRUE: u8 = 2;
const FALSE: u8 = 3;
const LIST: u8 = 4;
const LEFT_OUT: u8 = 5;

fn session(out: &mut Vec<u8>, input: &RequestInput<'_>) {
    let Some(session) = &input.session else {
        out.push(0);
        return;
    };
    out.push(1);
    out.push(session.policies.is_some().into());
    instant(out, session.issued_at);
    instant(out, session.mfa_authenticated_at);
    text(out, session.source_identity.unwrap_or_default(), VALUE_BYTES_MAX);
    text(out, session.federated_provider.unwrap_or_default(), VALUE_BYTES_MAX);
    text(out, session.issuer.unwrap_or_default(), TEXT_BYTES_MAX);
    texts(out, session.policy_arns.iter().map(String::as_str), session.policy_arns.len());
    number(out, session.tags.len() as u64);
    for (key, value) in session.tags {
        text(out, key, VALUE_BYTES_MAX);
        text(out, value, VALUE_BYTES_MAX);
    }
}

fn statements(out: &mut Vec<u8>, decision: &Decision<'_>) {
    let kept = decision.statements.len().min(STATEMENTS_MAX);
    number(out, decision.statements.len() as u64);
    number(out, kept as u64);
    for statement in decision.statements.iter().take(kept) {
        text(out, statement.policy_id, TEXT_BYTES_MAX);
        text(out, statement.sid, VALUE_BYTES_MAX);
        text(out, statement.file, TEXT_BYTES_MAX);
        for place in [statement.index, statement.line, statement.column] {
            number(out, place.into());
        }
        out.push(layer_byte(statement.layer));
    }
}

/// Up to [`LIST_VALUES_MAX`] texts, after how many there are and how many are here.
fn texts<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = &'a str>, count: usize) {
    let kept = count.min(LIST_VALUES_MAX);
    number(out, count as u64);
    number(out, kept as u64);
    for value in values.take(kept) {
        text(out, value, VALUE_BYTES_MAX);
    }
}

/// Marks the length of a text that was cut; how much is missing follows.
const CUT: u16 = 1 << 15;
// The longest text has a length of fifteen bits.
const _: () = assert!(MESSAGE_BYTES_MAX < CUT as usize);

/// A text, cut at a character when it is longer than `bytes_max`.
#[inline]
pub(super) fn text(out: &mut Vec<u8>, text: &str, bytes_max: usize) {
    if text.len() <= bytes_max {
        // Two bytes of known size cost less than a number of as many as it needs.
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    } else {
        cut_text(out, text, bytes_max);
    }
}

#[cold]
fn cut_text(out: &mut Vec<u8>, text: &str, bytes_max: usize) {
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16 | CUT).to_le_bytes());
    number(out, (text.len() - end) as u64);
    out.extend_from_slice(text.as_bytes().get(..end).unwrap_or_default());
}

/// Seven bits a byte, low bits first.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    if value < 0x80 {
        return out.push(value as u8);
    }
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn instant(out: &mut Vec<u8>, instant: Option<Instant>) {
    let Some(instant) = instant else {
        out.push(0);
        return;
    };
    out.push(1);
    out.extend_from_slice(&instant.seconds().to_le_bytes());
    out.extend_from_slice(&instant.nanos().to_le_bytes());
}

fn effect_byte(effect: Effect) -> u8 {
    match effect {
        Effect::Allow => 1,
        Effect::Deny => 0,
    }
}

fn reason_byte(reason: Reason) -> u8 {
    match reason {
        Reason::Allowed => 0,
        Reason::ExplicitDeny => 1,
        Reason::ImplicitDeny => 2,
        Reason::EvaluationLimit => 3,
    }
}

const LAYERS: [Layer; 8] = [
    Layer::Identity,
    Layer::Resource,
    Layer::Boundary,
    Layer::Session,
    Layer::Scp,
    Layer::Rcp,
    Layer::Endpoint,
    Layer::Trust,
];

fn layer_byte(layer: Layer) -> u8 {
    match layer {
        Layer::Identity => 0,
        Layer::Resource => 1,
        Layer::Boundary => 2,
        Layer::Session => 3,
        Layer::Scp => 4,
        Layer::Rcp => 5,
        Layer::Endpoint => 6,
        Layer::Trust => 7,
    }
}
