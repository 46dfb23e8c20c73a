//! Captured decisions -> CloudTrail-shaped JSON lines, into one buffer that is used again and again.
//!
//! Members of `requestParameters` and `additionalEventData` are ours; everything else has CloudTrail's name and form, so
//! that what reads CloudTrail reads this. The record's own numbering stands at the end of `additionalEventData`.
//!
//! Invariant (ONE-LINE): one entry is one line, and every text in it went through `escape`.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;

use portcullis_engine::{Effect, Instant, Reason};

use super::capture::{Cut, Kind, Peer, Reader, Taken};
use super::escape::{escape, hex, number, string};
use super::identity::{self, SessionFacts, Who, member};
use super::mask::{HIDDEN, Mask, Verdict, is_secret_value};
use super::read_only::is_read_only;

mod service;

/// The hash before the first record of a chain.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// What shapes every record.
#[derive(Debug)]
pub(super) struct Renderer {
    pub(super) mask: Mask,
    /// Follows the vendor of an action in `eventSource`.
    pub(super) source_suffix: String,
    /// One allow in this many is recorded; said in the record when it is not 1.
    pub(super) allow_one_in: u64,
    /// Names this process in every record.
    pub(super) boot: String,
    /// The hash of the line before, when records are chained.
    pub(super) previous: Option<[u8; 32]>,
    clock: Clock,
    ids: Ids,
}

/// The last second that was formatted.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    fn text(&mut self, instant: Instant) -> &str {
        if self.second != Some(instant.seconds()) {
            self.second = Some(instant.seconds());
            self.text = instant.to_string();
        }
        &self.text
    }
}

/// Version 7 UUIDs: the record's time, then a bijection of the sequence number, so that none repeats in a process.
#[derive(Debug)]
struct Ids {
    seed: u64,
}

impl Ids {
    fn render(&self, out: &mut Vec<u8>, at: Instant, sequence: u64) {
        let millis = at.seconds().wrapping_mul(1_000).wrapping_add(i64::from(at.nanos() / 1_000_000)) as u64;
        let low = mix(self.seed ^ sequence);
        let high = (millis << 16) | 0x7000 | (mix(low ^ self.seed) & 0x0fff);
        let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        let mut rest = bytes.as_slice();
        for (at, length) in [4, 2, 2, 2, 6].into_iter().enumerate() {
            if at > 0 {
                out.push(b'-');
            }
            let (part, after) = rest.split_at_checked(length).unwrap_or_default();
            hex(out, part);
            rest = after;
        }
    }
}

/// The finalizer of SplitMix64: every input has its own output.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Everything of a decision's entry that is needed out of its order.
struct Head<'b> {
    effect: Effect,
    reason: Reason,
    layer: &'static str,
    now: Instant,
    revision: Cut<'b>,
    generation: u64,
    latency_ns: Option<u64>,
    request_id: Cut<'b>,
    principal: Cut<'b>,
    principal_id: Cut<'b>,
    action: Cut<'b>,
    resource: Cut<'b>,
    resource_account: Cut<'b>,
    message: Cut<'b>,
    user_agent: Cut<'b>,
    peer: Peer<'b>,
}

impl<'b> Head<'b> {
    fn read(reader: &mut Reader<'b>) -> Option<Self> {
        Some(Self {
            effect: reader.effect()?,
            reason: reader.reason()?,
            layer: reader.layer()?.as_str(),
            now: reader.instant()??,
            revision: reader.text()?,
            generation: reader.number()?,
            latency_ns: reader.number()?.checked_sub(1),
            request_id: reader.text()?,
            principal: reader.text()?,
            principal_id: reader.text()?,
            action: reader.text()?,
            resource: reader.text()?,
            resource_account: reader.text()?,
            message: reader.text()?,
            user_agent: reader.text()?,
            peer: reader.peer()?,
        })
    }
}

/// Context values that have a place of their own in a record.
#[derive(Default)]
struct Known<'b> {
    source_ip: &'b str,
    user_agent: &'b str,
    region: &'b str,
}

/// What follows the head.
struct Tail<'b> {
    context: Reader<'b>,
    entries: u64,
    known: Known<'b>,
    session: Option<Session<'b>>,
    statements: Reader<'b>,
}

struct Session<'b> {
    facts: SessionFacts<'b>,
    inline_policies: bool,
    policies_and_tags: Reader<'b>,
}

impl Renderer {
    pub(super) fn new(mask: Mask, source_suffix: String, allow_one_in: u64, boot: String) -> Self {
        Self {
            mask,
            source_suffix,
            allow_one_in,
            boot,
            previous: None,
            clock: Clock::default(),
            // Keyed by the operating system's randomness.
            ids: Ids { seed: RandomState::new().hash_one(0_u8) },
        }
    }

    /// Appends the line of one entry. Nothing is appended, and `None` comes back, when the entry cannot be read.
    pub(super) fn line(&mut self, out: &mut Vec<u8>, sequence: u64, entry: &[u8]) -> Option<()> {
        let start = out.len();
        let mut reader = Reader::new(entry);
        let rendered = match reader.kind()? {
            Kind::Decision => self.decision(out, sequence, reader),
            Kind::Service => self.service(out, sequence, reader),
            Kind::Gap => self.gap(out, sequence, reader),
        };
        if rendered.is_none() {
            out.truncate(start);
            return None;
        }
        if self.previous.is_some() {
            self.previous = Some(blake3::hash(out.get(start..)?).into());
        }
        out.push(b'\n');
        Some(())
    }

    fn decision(&mut self, out: &mut Vec<u8>, sequence: u64, mut reader: Reader<'_>) -> Option<()> {
        let head = Head::read(&mut reader)?;
        let tail = Tail::read(&mut reader)?;
        let who = Who::of(head.principal.text);
        let session = tail.session.as_ref().map(|session| &session.facts);
        out.extend_from_slice(b"{\"eventVersion\":\"1.11\",\"userIdentity\":");
        identity::render(out, head.principal.text, who, head.principal_id, session);
        self.what(out, &head, &tail.known);
        if head.effect == Effect::Deny {
            out.extend_from_slice(b",\"errorCode\":\"AccessDenied\",\"errorMessage\":\"");
            let cut = cut_text(out, head.message);
            debug_assert!(!cut || head.message.missing > 0);
            out.push(b'"');
        }
        let mut truncated =
            head.message.missing > 0 || head.resource.missing > 0 || head.principal.missing > 0;
        truncated |= self.parameters(out, &head, &tail)?;
        self.trailer(out, &head, who, sequence);
        truncated |= self.additional(out, &head, tail.statements)?;
        if truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        self.numbering(out, sequence);
        out.extend_from_slice(b"}}");
        Some(())
    }

    /// When, what and from where.
    fn what(&mut self, out: &mut Vec<u8>, head: &Head<'_>, known: &Known<'_>) {
        let (vendor, name) = head.action.text.split_once(':').unwrap_or(("", head.action.text));
        out.extend_from_slice(b",\"eventTime\":\"");
        out.extend_from_slice(self.clock.text(head.now).as_bytes());
        out.extend_from_slice(b"\",\"eventSource\":\"");
        escape(out, vendor);
        escape(out, &self.source_suffix);
        member(out, b"\",\"eventName\":", name);
        let of_arn = if head.resource.text.starts_with("arn:") {
            head.resource.text.split(':').nth(3).unwrap_or_default()
        } else {
            ""
        };
        let region = if of_arn.is_empty() { known.region } else { of_arn };
        if !region.is_empty() {
            member(out, b",\"awsRegion\":", region);
        }
        if !known.source_ip.is_empty() {
            member(out, b",\"sourceIPAddress\":", known.source_ip);
        } else if matches!(Who::of(head.principal.text), Who::Service) {
            member(out, b",\"sourceIPAddress\":", head.principal.text);
        } else {
            out.extend_from_slice(b",\"sourceIPAddress\":\"");
            peer_text(out, head.peer);
            out.push(b'"');
        }
        let user_agent = if known.user_agent.is_empty() { head.user_agent.text } else { known.user_agent };
        if !user_agent.is_empty() {
            member(out, b",\"userAgent\":", user_agent);
        }
    }

    /// `requestParameters`; whether something in it was cut.
    fn parameters(&mut self, out: &mut Vec<u8>, head: &Head<'_>, tail: &Tail<'_>) -> Option<bool> {
        out.extend_from_slice(b",\"requestParameters\":{\"resource\":\"");
        let mut truncated = cut_text(out, head.resource);
        out.push(b'"');
        if !head.resource_account.text.is_empty() {
            member(out, b",\"resourceAccount\":", head.resource_account.text);
        }
        truncated |= self.context(out, tail)?;
        if let Some(session) = &tail.session {
            truncated |= self.session(out, session)?;
        }
        out.push(b'}');
        Some(truncated)
    }

    fn context(&mut self, out: &mut Vec<u8>, tail: &Tail<'_>) -> Option<bool> {
        let mut reader = tail.context;
        let (mut truncated, mut left_out) = (false, 0);
        out.extend_from_slice(b",\"context\":{");
        let begin = out.len();
        for _ in 0..tail.entries {
            let (key, value) = match reader.context_entry()? {
                Ok(entry) => entry,
                Err(beyond) => {
                    left_out = beyond;
                    break;
                }
            };
            let verdict = self.mask.verdict(key.text);
            let before = out.len();
            if before > begin {
                out.push(b',');
            }
            string(out, key.text);
            out.push(b':');
            truncated |= context_value(out, verdict, value, &mut reader)?;
            if verdict == Verdict::LeaveOut {
                out.truncate(before);
            }
        }
        out.push(b'}');
        if left_out > 0 {
            out.extend_from_slice(b",\"omittedContextKeys\":");
            number(out, left_out);
        }
        Some(truncated || left_out > 0)
    }

    fn session(&mut self, out: &mut Vec<u8>, session: &Session<'_>) -> Option<bool> {
        let mut reader = session.policies_and_tags;
        out.extend_from_slice(b",\"session\":{\"inlinePolicies\":");
        out.extend_from_slice(if session.inline_policies { b"true" } else { b"false" });
        out.extend_from_slice(b",\"policyArns\":");
        let mut truncated = text_list(out, false, &mut reader)?;
        out.extend_from_slice(b",\"tags\":{");
        for at in 0..reader.number()? {
            let (key, value) = (reader.text()?, reader.text()?);
            if at > 0 {
                out.push(b',');
            }
            string(out, key.text);
            out.push(b':');
            truncated |= shown_text(out, self.mask.verdict(key.text) == Verdict::Hide, value);
        }
        out.extend_from_slice(b"}}");
        Some(truncated)
    }

    /// Ids, resources and accounts.
    fn trailer(&mut self, out: &mut Vec<u8>, head: &Head<'_>, who: Who<'_>, sequence: u64) {
        member(out, b",\"requestID\":", head.request_id.text);
        out.extend_from_slice(b",\"eventID\":\"");
        self.ids.render(out, head.now, sequence);
        out.extend_from_slice(b"\",\"readOnly\":");
        let name = head.action.text.split_once(':').map_or(head.action.text, |(_, name)| name);
        out.extend_from_slice(if is_read_only(name) { b"true" } else { b"false" });
        let of_arn = head.resource.text.split(':').nth(4).unwrap_or_default();
        let owner = [head.resource_account.text, of_arn, who.account()];
        let owner = owner.into_iter().find(|account| !account.is_empty()).unwrap_or_default();
        if head.resource.text != "*" {
            member(out, b",\"resources\":[{\"ARN\":", head.resource.text);
            if !owner.is_empty() {
                member(out, b",\"accountId\":", owner);
            }
            out.extend_from_slice(b"}]");
        }
        out.extend_from_slice(b",\"eventType\":\"AwsApiCall\"");
        if !owner.is_empty() {
            member(out, b",\"recipientAccountId\":", owner);
        }
    }

    /// `additionalEventData`, left open.
    fn additional(&mut self, out: &mut Vec<u8>, head: &Head<'_>, mut reader: Reader<'_>) -> Option<bool> {
        member(out, b",\"additionalEventData\":{\"action\":", head.action.text);
        out.extend_from_slice(match head.effect {
            Effect::Allow => b",\"decision\":\"Allow\",\"reason\":\"".as_slice(),
            Effect::Deny => b",\"decision\":\"Deny\",\"reason\":\"",
        });
        out.extend_from_slice(head.reason.as_str().as_bytes());
        out.extend_from_slice(b"\",\"layer\":\"");
        out.extend_from_slice(head.layer.as_bytes());
        out.extend_from_slice(b"\",\"determiningStatements\":[");
        let count = reader.count()?;
        for at in 0..count.kept {
            if at > 0 {
                out.push(b',');
            }
            statement(out, &mut reader)?;
        }
        out.push(b']');
        let mut truncated = count.kept < count.all;
        out.extend_from_slice(b",\"missingContextKeys\":");
        truncated |= text_list(out, false, &mut reader)?;
        member(out, b",\"revision\":", head.revision.text);
        out.extend_from_slice(b",\"generation\":");
        number(out, head.generation);
        if let Some(nanos) = head.latency_ns {
            out.extend_from_slice(b",\"latencyNs\":");
            number(out, nanos);
        }
        if head.effect == Effect::Allow && self.allow_one_in > 1 {
            out.extend_from_slice(b",\"allowOneIn\":");
            number(out, self.allow_one_in);
        }
        out.extend_from_slice(b",\"peer\":\"");
        peer_text(out, head.peer);
        out.extend_from_slice(b"\",\"timeMicros\":");
        number(out, micros(head.now));
        Some(truncated)
    }

    /// What makes loss visible; the last members of `additionalEventData`.
    fn numbering(&mut self, out: &mut Vec<u8>, sequence: u64) {
        out.extend_from_slice(b",\"bootId\":\"");
        out.extend_from_slice(self.boot.as_bytes());
        out.extend_from_slice(b"\",\"sequence\":");
        number(out, sequence);
        if let Some(previous) = &self.previous {
            out.extend_from_slice(b",\"previousHash\":\"");
            hex(out, previous);
            out.push(b'"');
        }
    }
}

impl<'b> Tail<'b> {
    fn read(reader: &mut Reader<'b>) -> Option<Self> {
        let entries = reader.number()?;
        let context = *reader;
        let mut known = Known::default();
        for _ in 0..entries {
            match reader.context_entry()? {
                Ok((key, Taken::Text(value))) => known.note(key.text, value.text),
                Ok((_, Taken::Bool(_))) => {}
                Ok((_, Taken::List(count))) => {
                    for _ in 0..count.kept {
                        reader.text()?;
                    }
                }
                Err(_) => break,
            }
        }
        let session = if reader.byte()? == 1 { Some(Session::read(reader)?) } else { None };
        Some(Self { context, entries, known, session, statements: *reader })
    }
}

impl<'b> Session<'b> {
    fn read(reader: &mut Reader<'b>) -> Option<Self> {
        let inline_policies = reader.byte()? == 1;
        let facts = SessionFacts {
            issued_at: reader.instant()?,
            with_mfa: reader.instant()?.is_some(),
            source_identity: reader.text()?.text,
            federated_provider: reader.text()?.text,
            issuer: reader.text()?.text,
        };
        let policies_and_tags = *reader;
        for _ in 0..reader.count()?.kept {
            reader.text()?;
        }
        for _ in 0..reader.number()? {
            reader.text()?;
            reader.text()?;
        }
        Some(Self { facts, inline_policies, policies_and_tags })
    }
}

impl<'b> Known<'b> {
    fn note(&mut self, key: &str, value: &'b str) {
        let place = match key.len() {
            12 if key.eq_ignore_ascii_case("aws:SourceIp") => &mut self.source_ip,
            13 if key.eq_ignore_ascii_case("aws:UserAgent") => &mut self.user_agent,
            19 if key.eq_ignore_ascii_case("aws:RequestedRegion") => &mut self.region,
            _ => return,
        };
        *place = value;
    }
}

fn context_value(
    out: &mut Vec<u8>,
    verdict: Verdict,
    value: Taken<'_>,
    reader: &mut Reader<'_>,
) -> Option<bool> {
    let hide = verdict == Verdict::Hide;
    Some(match value {
        Taken::Text(value) => shown_text(out, hide, value) && verdict != Verdict::LeaveOut,
        Taken::Bool(_) if hide => {
            string(out, HIDDEN);
            false
        }
        Taken::Bool(value) => {
            out.extend_from_slice(if value { b"true" } else { b"false" });
            false
        }
        Taken::List(count) => {
            let cut = listed(out, hide, count.kept, count.all, reader)?;
            cut && verdict != Verdict::LeaveOut
        }
    })
}

/// A list with its count before it.
fn text_list(out: &mut Vec<u8>, hide: bool, reader: &mut Reader<'_>) -> Option<bool> {
    let count = reader.count()?;
    listed(out, hide, count.kept, count.all, reader)
}

fn listed(out: &mut Vec<u8>, hide: bool, kept: u64, all: u64, reader: &mut Reader<'_>) -> Option<bool> {
    let mut truncated = kept < all;
    out.push(b'[');
    for at in 0..kept {
        if at > 0 {
            out.push(b',');
        }
        truncated |= shown_text(out, hide, reader.text()?);
    }
    if kept < all {
        out.extend_from_slice(b",\"...[truncated: ");
        number(out, all - kept);
        out.extend_from_slice(b" more values]\"");
    }
    out.push(b']');
    Some(truncated)
}

/// A text in quotes, or what stands for it.
fn shown_text(out: &mut Vec<u8>, hide: bool, text: Cut<'_>) -> bool {
    if hide || is_secret_value(text.text) {
        string(out, HIDDEN);
        return false;
    }
    out.push(b'"');
    let cut = cut_text(out, text);
    out.push(b'"');
    cut
}

/// A text without quotes, followed by how much of it is missing.
fn cut_text(out: &mut Vec<u8>, text: Cut<'_>) -> bool {
    escape(out, text.text);
    if text.missing == 0 {
        return false;
    }
    out.extend_from_slice(b"...[truncated: ");
    number(out, text.missing);
    out.extend_from_slice(b" more bytes]");
    true
}

fn statement(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    member(out, b"{\"policyId\":", reader.text()?.text);
    member(out, b",\"sid\":", reader.text()?.text);
    let file = reader.text()?;
    out.extend_from_slice(b",\"index\":");
    number(out, reader.number()?);
    member(out, b",\"file\":", file.text);
    out.extend_from_slice(b",\"line\":");
    number(out, reader.number()?);
    out.extend_from_slice(b",\"column\":");
    number(out, reader.number()?);
    out.extend_from_slice(b",\"layer\":\"");
    out.extend_from_slice(reader.layer()?.as_str().as_bytes());
    out.extend_from_slice(b"\"}");
    Some(())
}

fn peer_text(out: &mut Vec<u8>, peer: Peer<'_>) {
    match peer {
        Peer::Unknown => out.extend_from_slice(b"unknown"),
        // Writing to a vector cannot fail.
        Peer::Ip(address) => drop(write!(out, "{address}")),
        Peer::Unix { uid, gid } => {
            out.extend_from_slice(b"unix:uid=");
            number(out, uid);
            out.extend_from_slice(b",gid=");
            number(out, gid);
        }
        Peer::Named(name) => escape(out, name),
    }
}

fn micros(instant: Instant) -> i64 {
    instant.seconds().saturating_mul(1_000_000).saturating_add(i64::from(instant.nanos() / 1_000))
}

#[cfg(test)]
mod tests;
