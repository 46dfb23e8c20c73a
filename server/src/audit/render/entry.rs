//! A decision's entry as it was captured, and the members of its record that differ each time.

use std::io::Write as _;

use portcullis_engine::{Effect, Instant, Reason};

use super::micros;
use super::values::{self, cut_text};
use crate::audit::capture::{Cut, Peer, Reader, Taken};
use crate::audit::escape::{escape, number, string};
use crate::audit::mask::{Mask, Verdict};

/// A decision's entry, read.
pub(super) struct Entry<'b> {
    pub(super) effect: Effect,
    reason: Reason,
    layer: &'static str,
    pub(super) now: Instant,
    generation: u64,
    latency_ns: Option<u64>,
    revision: Cut<'b>,
    pub(super) request_id: Cut<'b>,
    pub(super) who: &'b [u8],
    pub(super) action: Cut<'b>,
    pub(super) resource: Cut<'b>,
    pub(super) resource_account: Cut<'b>,
    pub(super) message: Cut<'b>,
    user_agent: Cut<'b>,
    peer: Peer<'b>,
    /// The context's entries, and how many.
    context: Reader<'b>,
    entries: u64,
    known: Known<'b>,
    pub(super) why: &'b [u8],
}

/// Context values that have a place of their own in a record.
#[derive(Default)]
struct Known<'b> {
    source_ip: &'b [u8],
    user_agent: &'b [u8],
    region: &'b [u8],
}

impl<'b> Entry<'b> {
    pub(super) fn read(mut reader: Reader<'b>) -> Option<Self> {
        let reader = &mut reader;
        let (effect, reason, layer) = (reader.effect()?, reader.reason()?, reader.layer()?.as_str());
        let now = reader.time()?;
        let (generation, latency_ns) = (reader.wide()?, reader.wide()?.checked_sub(1));
        let (revision, request_id, who) = (reader.text()?, reader.text()?, reader.section()?);
        let (action, resource, resource_account) = (reader.text()?, reader.text()?, reader.text()?);
        let (message, user_agent, peer) = (reader.text()?, reader.text()?, reader.peer()?);
        let entries = reader.number()?;
        let context = *reader;
        let known = Known::read(reader, entries)?;
        Some(Self {
            effect,
            reason,
            layer,
            now,
            generation,
            latency_ns,
            revision,
            request_id,
            who,
            action,
            resource,
            resource_account,
            message,
            user_agent,
            peer,
            context,
            entries,
            known,
            why: reader.rest(),
        })
    }

    /// The region and the account of the resource's ARN; empty where it has none.
    pub(super) fn region_and_account(&self) -> [&'b [u8]; 2] {
        let text = self.resource.text;
        let mut colons = memchr::memchr_iter(b':', text).skip(2);
        let (Some(a), Some(b), Some(c)) = (colons.next(), colons.next(), colons.next()) else {
            return [b""; 2];
        };
        let between = |from: usize, to| text.get(from + 1..to).unwrap_or_default();
        [between(a, b), between(b, c)]
    }

    /// From where it was asked; whether something in it was cut.
    pub(super) fn origin(&self, out: &mut Vec<u8>, region: &[u8]) -> bool {
        let Known { source_ip, user_agent, region: of_context } = self.known;
        let region = if region.is_empty() { of_context } else { region };
        if !region.is_empty() {
            out.extend_from_slice(b",\"awsRegion\":");
            string(out, region);
        }
        out.extend_from_slice(b",\"sourceIPAddress\":\"");
        if source_ip.is_empty() {
            let shown = match self.peer {
                Peer::Known { ip, name: _ } => Peer::Ip(ip),
                other => other,
            };
            peer_text(out, shown);
        } else {
            escape(out, source_ip);
        }
        out.push(b'"');
        let of_context = Cut { text: user_agent, missing: 0 };
        let user_agent = if user_agent.is_empty() { self.user_agent } else { of_context };
        if user_agent.text.is_empty() {
            return false;
        }
        out.extend_from_slice(b",\"userAgent\":\"");
        let truncated = cut_text(out, user_agent);
        out.push(b'"');
        truncated
    }

    /// `requestParameters`; whether something in it was cut.
    pub(super) fn parameters(&self, out: &mut Vec<u8>, mask: &mut Mask, session: &[u8]) -> Option<bool> {
        out.extend_from_slice(b",\"requestParameters\":{\"context\":{");
        let truncated = self.context(out, mask)?;
        if self.resource.text == b"*" {
            out.extend_from_slice(b",\"resource\":\"*\"");
        }
        if !self.resource_account.text.is_empty() {
            out.extend_from_slice(b",\"resourceAccount\":");
            string(out, self.resource_account.text);
        }
        out.extend_from_slice(session);
        out.push(b'}');
        Some(truncated)
    }

    /// The members of `context` and its end.
    fn context(&self, out: &mut Vec<u8>, mask: &mut Mask) -> Option<bool> {
        let mut reader = self.context;
        let (mut truncated, mut left_out) = (false, 0);
        let begin = out.len();
        for _ in 0..self.entries {
            let (key, value) = match reader.context_entry()? {
                Ok(entry) => entry,
                Err(beyond) => {
                    left_out = beyond;
                    break;
                }
            };
            let verdict = mask.verdict(key);
            let before = out.len();
            if before > begin {
                out.push(b',');
            }
            string(out, key.text);
            out.push(b':');
            let cut = values::context_value(out, verdict == Verdict::Hide, value, &mut reader)?;
            if verdict == Verdict::LeaveOut {
                out.truncate(before);
            } else {
                truncated |= cut;
            }
        }
        out.push(b'}');
        if left_out > 0 {
            out.extend_from_slice(b",\"omittedContextKeys\":");
            number(out, left_out);
        }
        Some(truncated || left_out > 0)
    }

    /// The resource, and the account that the record is for: the first that is known.
    pub(super) fn resources(&self, out: &mut Vec<u8>, accounts: [&[u8]; 3]) -> bool {
        let account = accounts.into_iter().find(|account| !account.is_empty());
        let mut truncated = false;
        if self.resource.text != b"*" {
            out.extend_from_slice(b",\"resources\":[{\"ARN\":\"");
            truncated = cut_text(out, self.resource);
            out.push(b'"');
            if let Some(account) = account {
                out.extend_from_slice(b",\"accountId\":");
                string(out, account);
            }
            out.extend_from_slice(b"}]");
        }
        out.extend_from_slice(b",\"eventType\":\"AwsApiCall\"");
        if let Some(account) = account {
            out.extend_from_slice(b",\"recipientAccountId\":");
            string(out, account);
        }
        truncated
    }

    /// `additionalEventData`, left open.
    pub(super) fn additional(&self, out: &mut Vec<u8>, action: &[u8], statements: &[u8], allow_one_in: u64) {
        out.extend_from_slice(b",\"additionalEventData\":{");
        out.extend_from_slice(action);
        out.extend_from_slice(match self.effect {
            Effect::Allow => b"\"decision\":\"Allow\",\"reason\":\"".as_slice(),
            Effect::Deny => b"\"decision\":\"Deny\",\"reason\":\"",
        });
        out.extend_from_slice(self.reason.as_str().as_bytes());
        out.extend_from_slice(b"\",\"layer\":\"");
        out.extend_from_slice(self.layer.as_bytes());
        out.extend_from_slice(statements);
        out.extend_from_slice(b",\"revision\":");
        string(out, self.revision.text);
        out.extend_from_slice(b",\"generation\":");
        number(out, self.generation);
        if let Some(nanos) = self.latency_ns {
            out.extend_from_slice(b",\"latencyNs\":");
            number(out, nanos);
        }
        if self.effect == Effect::Allow && allow_one_in > 1 {
            out.extend_from_slice(b",\"allowOneIn\":");
            number(out, allow_one_in);
        }
        out.extend_from_slice(b",\"peer\":\"");
        peer_text(out, self.peer);
        out.extend_from_slice(b"\",\"timeMicros\":");
        number(out, micros(self.now));
    }
}

impl<'b> Known<'b> {
    /// Goes through the context once.
    fn read(reader: &mut Reader<'b>, entries: u64) -> Option<Self> {
        let mut known = Self::default();
        for _ in 0..entries {
            match reader.context_entry()? {
                Ok((key, Taken::Text(value))) => known.note(key.text, value.text),
                Ok((_, Taken::Bool(_))) => {}
                Ok((_, Taken::List(count))) => (0..count.kept).try_for_each(|_| reader.text().map(drop))?,
                Err(_) => break,
            }
        }
        Some(known)
    }

    fn note(&mut self, key: &[u8], value: &'b [u8]) {
        let place = match key.len() {
            12 if key.eq_ignore_ascii_case(b"aws:SourceIp") => &mut self.source_ip,
            13 if key.eq_ignore_ascii_case(b"aws:UserAgent") => &mut self.user_agent,
            19 if key.eq_ignore_ascii_case(b"aws:RequestedRegion") => &mut self.region,
            _ => return,
        };
        *place = value;
    }
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
        Peer::Known { ip, name } => {
            drop(write!(out, "{ip} "));
            escape(out, name.as_bytes());
        }
    }
}
