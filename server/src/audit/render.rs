//! Captured decisions -> CloudTrail-shaped JSON lines, into one buffer that is used again and again.
//!
//! Members of `requestParameters` and `additionalEventData` are ours; everything else has CloudTrail's name and form, so
//! that what reads CloudTrail reads this. The record's own numbering stands at the end of `additionalEventData`.
//!
//! Invariant (ONE-LINE): one entry is one line, and every text in it went through `escape`.

mod entry;
mod fragments;
mod service;
mod values;

use std::hash::{BuildHasher as _, RandomState};

use portcullis_engine::{Effect, Instant};

use self::entry::Entry;
use self::fragments::{Fragment, Fragments};
use self::values::{cut_text, shown_text, text_list};
use super::capture::{Cut, Kind, Reader};
use super::escape::{escape, hex, hex_digits, number, string};
use super::identity::{self, Entity, SessionFacts, Who, member};
use super::mask::{Mask, Verdict};
use super::read_only::is_read_only;

/// The hash before the first record of a chain.
pub(super) const GENESIS: [u8; 32] = [0; 32];
/// Pieces that are kept of each kind.
const FRAGMENTS: usize = 512;

/// What shapes every record.
#[derive(Debug)]
pub(super) struct Renderer {
    mask: Mask,
    /// Follows the vendor of an action in `eventSource`.
    source_suffix: String,
    /// One allow in this many is recorded; said in the record when it is not 1.
    allow_one_in: u64,
    /// The member that names this process in every record.
    boot: Vec<u8>,
    /// The hash of the line before, when records are chained.
    pub(super) previous: Option<[u8; 32]>,
    clock: Clock,
    ids: Ids,
    /// By principal and session: [`IDENTITY`], [`SESSION`], [`ACCOUNT`].
    who: Fragments,
    /// By action: [`SOURCE`], [`READ_ONLY`], [`ACTION`].
    what: Fragments,
    /// By determining statements and missing keys.
    why: Fragments,
}

const IDENTITY: usize = 0;
const SESSION: usize = 1;
const ACCOUNT: usize = 2;

const SOURCE: usize = 0;
const READ_ONLY: usize = 1;
const ACTION: usize = 2;

const STATEMENTS: usize = 0;

/// The last second that was formatted.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    fn text(&mut self, instant: Instant) -> &[u8] {
        if self.second != Some(instant.seconds()) {
            self.second = Some(instant.seconds());
            self.text = instant.to_string();
        }
        self.text.as_bytes()
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
        let [a, b, c, d, e, f, g, h, rest @ ..] = hex_digits(high);
        let [i, j, k, l, m, n, o, p] = rest;
        out.extend_from_slice(&[a, b, c, d, e, f, g, h, b'-', i, j, k, l, b'-', m, n, o, p, b'-']);
        let [a, b, c, d, rest @ ..] = hex_digits((low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000);
        out.extend_from_slice(&[a, b, c, d, b'-']);
        out.extend_from_slice(&rest);
    }
}

/// The finalizer of SplitMix64: every input has its own output.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Renderer {
    pub(super) fn new(mask: Mask, source_suffix: String, allow_one_in: u64, boot: &str) -> Self {
        let mut named = Vec::new();
        member(&mut named, b",\"bootId\":", boot);
        named.extend_from_slice(b",\"sequence\":");
        Self {
            mask,
            source_suffix,
            allow_one_in,
            boot: named,
            previous: None,
            clock: Clock::default(),
            // Keyed by the operating system's randomness.
            ids: Ids { seed: RandomState::new().hash_one(0_u8) },
            who: Fragments::new(FRAGMENTS),
            what: Fragments::new(FRAGMENTS),
            why: Fragments::new(FRAGMENTS),
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

    fn decision(&mut self, out: &mut Vec<u8>, sequence: u64, reader: Reader<'_>) -> Option<()> {
        let entry = Entry::read(reader)?;
        let Self { mask, source_suffix, who, what, why, clock, ids, allow_one_in, .. } = self;
        let who = who.of(entry.who, |fragment| render_who(fragment, entry.who, mask))?;
        let what =
            what.of(entry.action.text, |fragment| render_what(fragment, entry.action, source_suffix))?;
        let why = why.of(entry.why, |fragment| render_why(fragment, entry.why))?;
        let mut truncated = who.truncated | why.truncated | (entry.message.missing > 0);

        out.extend_from_slice(b"{\"eventVersion\":\"1.11\",\"userIdentity\":");
        out.extend_from_slice(who.text(IDENTITY));
        out.extend_from_slice(b",\"eventTime\":\"");
        out.extend_from_slice(clock.text(entry.now));
        out.extend_from_slice(what.text(SOURCE));
        let [region, of_arn] = entry.region_and_account();
        truncated |= entry.origin(out, region);
        if entry.effect == Effect::Deny {
            out.extend_from_slice(b",\"errorCode\":\"AccessDenied\",\"errorMessage\":\"");
            cut_text(out, entry.message);
            out.push(b'"');
        }
        truncated |= entry.parameters(out, mask, who.text(SESSION))?;
        out.extend_from_slice(b",\"requestID\":");
        string(out, entry.request_id.text);
        out.extend_from_slice(b",\"eventID\":\"");
        ids.render(out, entry.now, sequence);
        out.extend_from_slice(what.text(READ_ONLY));
        truncated |= entry.resources(out, [entry.resource_account.text, of_arn, who.text(ACCOUNT)]);
        entry.additional(out, what.text(ACTION), why.text(STATEMENTS), *allow_one_in);
        if truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        self.numbering(out, sequence);
        out.extend_from_slice(b"}}");
        Some(())
    }

    /// What makes loss visible; the last members of `additionalEventData`.
    fn numbering(&mut self, out: &mut Vec<u8>, sequence: u64) {
        out.extend_from_slice(&self.boot);
        number(out, sequence);
        if let Some(previous) = &self.previous {
            out.extend_from_slice(b",\"previousHash\":\"");
            hex(out, previous);
            out.push(b'"');
        }
    }
}

fn render_who(fragment: &mut Fragment, section: &[u8], mask: &mut Mask) -> Option<()> {
    let mut reader = Reader::new(section);
    let (principal, id, entity) = (reader.text()?, reader.text()?, reader.text()?);
    let who = Who::of(principal.as_str());
    let mut truncated = principal.missing > 0;
    let session = if reader.byte()? == 1 {
        let inline_policies = reader.byte()? == 1;
        let facts = SessionFacts {
            issued_at: reader.instant()?,
            with_mfa: reader.instant()?.is_some(),
            source_identity: reader.text()?.as_str(),
            federated_provider: reader.text()?.as_str(),
            issuer: reader.text()?.as_str(),
        };
        Some((facts, inline_policies))
    } else {
        None
    };
    let facts = session.as_ref().map(|(facts, _)| facts);
    let entity = Entity { id: id.as_str(), arn: entity.as_str() };
    identity::render(fragment.out(), principal.as_str(), who, entity, facts);
    fragment.end(IDENTITY);
    if let Some((_, inline_policies)) = session {
        let out = fragment.out();
        out.extend_from_slice(b",\"session\":{\"inlinePolicies\":");
        out.extend_from_slice(if inline_policies { b"true" } else { b"false" });
        out.extend_from_slice(b",\"policyArns\":");
        truncated |= text_list(out, false, &mut reader)?;
        out.extend_from_slice(b",\"tags\":{");
        for at in 0..reader.number()? {
            let (key, value) = (reader.text()?, reader.text()?);
            if at > 0 {
                out.push(b',');
            }
            string(out, key.text);
            out.push(b':');
            truncated |= shown_text(out, mask.verdict(key) == Verdict::Hide, value);
        }
        out.extend_from_slice(b"}}");
    }
    fragment.end(SESSION);
    fragment.out().extend_from_slice(who.account().as_bytes());
    fragment.end(ACCOUNT);
    fragment.truncated = truncated;
    Some(())
}

fn render_what(fragment: &mut Fragment, action: Cut<'_>, source_suffix: &str) -> Option<()> {
    let (vendor, name) = action.as_str().split_once(':').unwrap_or(("", action.as_str()));
    let out = fragment.out();
    out.extend_from_slice(b"\",\"eventSource\":\"");
    escape(out, vendor.as_bytes());
    escape(out, source_suffix.as_bytes());
    member(out, b"\",\"eventName\":", name);
    fragment.end(SOURCE);
    fragment.out().extend_from_slice(b"\",\"readOnly\":");
    fragment.out().extend_from_slice(if is_read_only(name) { b"true" } else { b"false" });
    fragment.end(READ_ONLY);
    // Where the source does not tell the vendor.
    if vendor.contains('.') {
        member(fragment.out(), b"\"action\":", action.as_str());
        fragment.out().push(b',');
    }
    fragment.end(ACTION);
    Some(())
}

fn render_why(fragment: &mut Fragment, rest: &[u8]) -> Option<()> {
    let mut reader = Reader::new(rest);
    let out = fragment.out();
    out.extend_from_slice(b"\",\"determiningStatements\":[");
    let count = reader.count()?;
    for at in 0..count.kept {
        if at > 0 {
            out.push(b',');
        }
        values::statement(out, &mut reader)?;
    }
    out.push(b']');
    let begin = out.len();
    out.extend_from_slice(b",\"missingContextKeys\":");
    let names = out.len();
    let mut truncated = count.kept < count.all;
    truncated |= text_list(out, false, &mut reader)?;
    if out.get(names..) == Some(b"[]".as_slice()) {
        out.truncate(begin);
    }
    fragment.end(STATEMENTS);
    fragment.truncated = truncated;
    Some(())
}

fn micros(instant: Instant) -> i64 {
    instant.seconds().saturating_mul(1_000_000).saturating_add(i64::from(instant.nanos() / 1_000))
}

#[cfg(test)]
mod tests;
