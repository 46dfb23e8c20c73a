//! Captured decisions -> CloudTrail-shaped JSON lines, into one buffer that is used again and again.
//!
//! Members of `requestParameters` and `additionalEventData` are ours; everything else has CloudTrail's name and form, so
//! that what reads CloudTrail reads this. The record's own numbering stands at the end of `additionalEventData`.
//!
//! Invariant (ONE-LINE): one entry is one line, and every text in it went through `escape`.

mod entry;
mod fragments;
mod pieces;
mod service;
mod values;

use std::hash::{BuildHasher as _, RandomState};

use portcullis_engine::{Effect, Instant};

use self::entry::Entry;
use self::fragments::{Fragment, Fragments};
use self::pieces::{
    ACCOUNT, ACTION, ADDRESS, AGENT, CONTEXT, CONTEXT_ADDRESS, CONTEXT_AGENT, IDENTITY, PEER, READ_ONLY,
    REGION, SESSION, SOURCE, STAMP, STATEMENTS, VERDICT,
};
use self::values::cut_text;
use super::capture::{Kind, Reader};
use super::escape::{escape, hex, hex_digits, number};
use super::identity::member;
use super::mask::Mask;

/// The hash before the first record of a chain.
pub(super) const GENESIS: [u8; 32] = [0; 32];
/// Pieces that are kept of each kind.
const FRAGMENTS: usize = 512;
/// The same of contexts, which differ more.
const CONTEXTS: usize = 1_024;

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
    /// By principal and session.
    who: Fragments,
    /// By action.
    what: Fragments,
    /// By verdict, policies and caller.
    how: Fragments,
    /// By the context of the question.
    context: Fragments,
    /// By determining statements and missing keys.
    why: Fragments,
}

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
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = hex_digits(high);
        let [q, r, s, t, rest @ ..] = hex_digits((low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000);
        let [u, v, w, x, y, z, first, second, third, fourth, fifth, sixth] = rest;
        out.extend_from_slice(&[
            a, b, c, d, e, f, g, h, b'-', i, j, k, l, b'-', m, n, o, p, b'-', q, r, s, t, b'-', u, v, w, x,
            y, z, first, second, third, fourth, fifth, sixth,
        ]);
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
            how: Fragments::new(FRAGMENTS),
            context: Fragments::new(CONTEXTS),
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
        let Self { mask, source_suffix, who, what, how, context, why, clock, ids, allow_one_in, .. } = self;
        let who = who.of(entry.who, |fragment| pieces::who(fragment, entry.who, mask))?;
        let what =
            what.of(entry.action.text, |fragment| pieces::what(fragment, entry.action, source_suffix))?;
        let how = how.of(entry.how, |fragment| pieces::how(fragment, entry.how, *allow_one_in))?;
        let context = context.of(entry.context, |fragment| pieces::context(fragment, entry.context, mask))?;
        let why = why.of(entry.why, |fragment| pieces::why(fragment, entry.why))?;
        let mut truncated = who.truncated | context.truncated | why.truncated | (entry.message.missing > 0);
        out.extend_from_slice(who.text(IDENTITY));
        out.extend_from_slice(clock.text(entry.now));
        out.extend_from_slice(what.text(SOURCE));
        let [region, of_arn] = entry.region_and_account();
        origin(out, region, how, context);
        truncated |= context.text(CONTEXT_AGENT).is_empty() && how.truncated;
        if entry.effect()? == Effect::Deny {
            out.extend_from_slice(b",\"errorCode\":\"AccessDenied\",\"errorMessage\":\"");
            cut_text(out, entry.message);
            out.push(b'"');
        }
        out.extend_from_slice(context.text(CONTEXT));
        entry.parameters(out);
        out.extend_from_slice(who.text(SESSION));
        out.extend_from_slice(b"},\"requestID\":\"");
        escape(out, entry.request_id.text);
        out.extend_from_slice(b"\",\"eventID\":\"");
        ids.render(out, entry.now, sequence);
        out.extend_from_slice(what.text(READ_ONLY));
        truncated |= entry.resources(out, [entry.resource_account.text, of_arn, who.text(ACCOUNT)]);
        out.extend_from_slice(b",\"additionalEventData\":{");
        out.extend_from_slice(what.text(ACTION));
        out.extend_from_slice(how.text(VERDICT));
        out.extend_from_slice(why.text(STATEMENTS));
        out.extend_from_slice(how.text(STAMP));
        if let Some(nanos) = entry.latency_ns {
            out.extend_from_slice(b",\"latencyNs\":");
            number(out, nanos);
        }
        out.extend_from_slice(how.text(PEER));
        number(out, micros(entry.now));
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

/// From where it was asked: what the question says counts more than what is known of the caller.
fn origin(out: &mut Vec<u8>, region: &[u8], how: &Fragment, context: &Fragment) {
    let (of_context, whole) = (context.text(REGION), !region.is_empty());
    if whole || !of_context.is_empty() {
        out.extend_from_slice(b",\"awsRegion\":\"");
        // The one of the context is escaped already.
        if whole {
            escape(out, region)
        } else {
            out.extend_from_slice(of_context)
        }
        out.push(b'"');
    }
    let first = |of_context: usize, of_peer| match context.text(of_context) {
        b"" => how.text(of_peer),
        text => text,
    };
    out.extend_from_slice(first(CONTEXT_ADDRESS, ADDRESS));
    out.extend_from_slice(first(CONTEXT_AGENT, AGENT));
}

fn micros(instant: Instant) -> i64 {
    instant.seconds().saturating_mul(1_000_000).saturating_add(i64::from(instant.nanos() / 1_000))
}

#[cfg(test)]
mod tests;
