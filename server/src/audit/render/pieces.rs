//! The pieces of a record that come back again and again, each rendered from one section of a captured decision.
//!
//! A section holds all that its pieces are made of, so that its bytes can stand for them.

use portcullis_engine::Effect;

use super::fragments::Fragment;
use super::values::{self, cut_text, peer_text, shown_text, text_list};
use crate::audit::capture::{Cut, Peer, Reader, Taken};
use crate::audit::escape::{escape, number, string};
use crate::audit::identity::{self, Entity, SessionFacts, Who, member};
use crate::audit::mask::{Mask, Verdict, is_secret_value};
use crate::audit::read_only::is_read_only;

/// Of who: the record up to the time, its session, its account.
pub(super) const IDENTITY: usize = 0;
pub(super) const SESSION: usize = 1;
pub(super) const ACCOUNT: usize = 2;
/// Of what: source and name of the event after the time, whether it only reads, the action where its name does not tell.
pub(super) const SOURCE: usize = 0;
pub(super) const READ_ONLY: usize = 1;
pub(super) const ACTION: usize = 2;
/// Of how: address and program of the caller, the verdict, the policies, the caller in full.
pub(super) const ADDRESS: usize = 0;
pub(super) const AGENT: usize = 1;
pub(super) const VERDICT: usize = 2;
pub(super) const STAMP: usize = 3;
pub(super) const PEER: usize = 4;
/// Of the context: address, program and region where it names them, and the context itself.
pub(super) const CONTEXT_ADDRESS: usize = 0;
pub(super) const CONTEXT_AGENT: usize = 1;
pub(super) const REGION: usize = 2;
pub(super) const CONTEXT: usize = 3;
/// Of why.
pub(super) const STATEMENTS: usize = 0;

pub(super) fn who(fragment: &mut Fragment, section: &[u8], mask: &mut Mask) -> Option<()> {
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
    fragment.out().extend_from_slice(b"{\"eventVersion\":\"1.11\",\"userIdentity\":");
    identity::render(fragment.out(), principal.as_str(), who, entity, facts);
    fragment.out().extend_from_slice(b",\"eventTime\":\"");
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

pub(super) fn what(fragment: &mut Fragment, action: Cut<'_>, source_suffix: &str) -> Option<()> {
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

pub(super) fn how(fragment: &mut Fragment, section: &[u8], allow_one_in: u64) -> Option<()> {
    let mut reader = Reader::new(section);
    let (effect, reason, layer) = (reader.effect()?, reader.reason()?, reader.layer()?);
    let (generation, revision) = (reader.wide()?, reader.text()?);
    let (peer, agent) = (reader.peer()?, reader.text()?);
    let out = fragment.out();
    out.extend_from_slice(b",\"sourceIPAddress\":\"");
    peer_text(out, if let Peer::Known { ip, name: _ } = peer { Peer::Ip(ip) } else { peer });
    out.push(b'"');
    fragment.end(ADDRESS);
    fragment.truncated = user_agent(fragment.out(), agent);
    fragment.end(AGENT);
    let out = fragment.out();
    out.extend_from_slice(match effect {
        Effect::Allow => b"\"decision\":\"Allow\",\"reason\":\"".as_slice(),
        Effect::Deny => b"\"decision\":\"Deny\",\"reason\":\"",
    });
    out.extend_from_slice(reason.as_str().as_bytes());
    out.extend_from_slice(b"\",\"layer\":\"");
    out.extend_from_slice(layer.as_str().as_bytes());
    fragment.end(VERDICT);
    let out = fragment.out();
    out.extend_from_slice(b",\"revision\":");
    string(out, revision.text);
    out.extend_from_slice(b",\"generation\":");
    number(out, generation);
    fragment.end(STAMP);
    let out = fragment.out();
    if effect == Effect::Allow && allow_one_in > 1 {
        out.extend_from_slice(b",\"allowOneIn\":");
        number(out, allow_one_in);
    }
    out.extend_from_slice(b",\"peer\":\"");
    peer_text(out, peer);
    out.extend_from_slice(b"\",\"timeMicros\":");
    fragment.end(PEER);
    Some(())
}

/// `userAgent`, when there is one; whether it was cut.
fn user_agent(out: &mut Vec<u8>, agent: Cut<'_>) -> bool {
    if agent.text.is_empty() {
        return false;
    }
    out.extend_from_slice(b",\"userAgent\":\"");
    let truncated = cut_text(out, agent);
    out.push(b'"');
    truncated
}

pub(super) fn context(fragment: &mut Fragment, section: &[u8], mask: &mut Mask) -> Option<()> {
    let known = Known::read(Reader::new(section), mask)?;
    if !known.source_ip.is_empty() {
        fragment.out().extend_from_slice(b",\"sourceIPAddress\":");
        string(fragment.out(), known.source_ip);
    }
    fragment.end(CONTEXT_ADDRESS);
    user_agent(fragment.out(), Cut { text: known.user_agent, missing: 0 });
    fragment.end(CONTEXT_AGENT);
    escape(fragment.out(), known.region);
    fragment.end(REGION);
    fragment.out().extend_from_slice(b",\"requestParameters\":{\"context\":{");
    fragment.truncated = entries(fragment.out(), Reader::new(section), mask)?;
    fragment.end(CONTEXT);
    Some(())
}

/// The members of `context` and its end; whether something in it was cut.
fn entries(out: &mut Vec<u8>, mut reader: Reader<'_>, mask: &mut Mask) -> Option<bool> {
    let (mut truncated, mut left_out) = (false, 0);
    let begin = out.len();
    for _ in 0..reader.number()? {
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

/// Context values that have a place of their own in a record.
#[derive(Default)]
struct Known<'b> {
    source_ip: &'b [u8],
    user_agent: &'b [u8],
    region: &'b [u8],
}

impl<'b> Known<'b> {
    /// Goes through the context once. What is hidden there has no place elsewhere either.
    fn read(mut reader: Reader<'b>, mask: &mut Mask) -> Option<Self> {
        let mut known = Self::default();
        for _ in 0..reader.number()? {
            match reader.context_entry()? {
                Ok((key, Taken::Text(value))) => {
                    if let Some(place) = known.place(key.text)
                        && mask.verdict(key) != Verdict::Hide
                        && !is_secret_value(value.text)
                    {
                        *place = value.text;
                    }
                }
                Ok((_, Taken::Bool(_))) => {}
                Ok((_, Taken::List(count))) => (0..count.kept).try_for_each(|_| reader.text().map(drop))?,
                Err(_) => break,
            }
        }
        Some(known)
    }

    fn place(&mut self, key: &[u8]) -> Option<&mut &'b [u8]> {
        match key.len() {
            12 if key.eq_ignore_ascii_case(b"aws:SourceIp") => Some(&mut self.source_ip),
            13 if key.eq_ignore_ascii_case(b"aws:UserAgent") => Some(&mut self.user_agent),
            19 if key.eq_ignore_ascii_case(b"aws:RequestedRegion") => Some(&mut self.region),
            _ => None,
        }
    }
}

pub(super) fn why(fragment: &mut Fragment, rest: &[u8]) -> Option<()> {
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
