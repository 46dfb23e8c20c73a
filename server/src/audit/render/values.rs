//! Texts, lists and statements out of an entry, as JSON: hidden where they are secret, cut where they are long.

use std::io::Write as _;

use crate::audit::capture::{Cut, Peer, Reader, Taken};
use crate::audit::escape::{escape, number, string};
use crate::audit::mask::{HIDDEN, is_secret_value};

/// A context value; whether something of it was cut.
pub(super) fn context_value(
    out: &mut Vec<u8>,
    hide: bool,
    value: Taken<'_>,
    reader: &mut Reader<'_>,
) -> Option<bool> {
    Some(match value {
        Taken::Text(value) => shown_text(out, hide, value),
        Taken::Bool(_) if hide => {
            string(out, HIDDEN);
            false
        }
        Taken::Bool(value) => {
            out.extend_from_slice(if value { b"true" } else { b"false" });
            false
        }
        Taken::List(count) => listed(out, hide, count.kept, count.all, reader)?,
    })
}

/// A list with its count before it.
pub(super) fn text_list(out: &mut Vec<u8>, hide: bool, reader: &mut Reader<'_>) -> Option<bool> {
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
        if kept > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"\"...[truncated: ");
        number(out, all - kept);
        out.extend_from_slice(b" more values]\"");
    }
    out.push(b']');
    Some(truncated)
}

/// A text in quotes, or what stands for it.
pub(super) fn shown_text(out: &mut Vec<u8>, hide: bool, text: Cut<'_>) -> bool {
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
pub(super) fn cut_text(out: &mut Vec<u8>, text: Cut<'_>) -> bool {
    escape(out, text.text);
    if text.missing == 0 {
        return false;
    }
    out.extend_from_slice(b"...[truncated: ");
    number(out, text.missing);
    out.extend_from_slice(b" more bytes]");
    true
}

/// A determining statement.
pub(super) fn statement(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Option<()> {
    out.extend_from_slice(b"{\"policyId\":");
    string(out, reader.text()?.text);
    for name in [b",\"sid\":".as_slice(), b",\"file\":"] {
        let text = reader.text()?;
        if !text.text.is_empty() {
            out.extend_from_slice(name);
            string(out, text.text);
        }
    }
    for name in [b",\"index\":".as_slice(), b",\"line\":", b",\"column\":"] {
        out.extend_from_slice(name);
        number(out, reader.number()?);
    }
    out.extend_from_slice(b",\"layer\":\"");
    out.extend_from_slice(reader.layer()?.as_str().as_bytes());
    out.extend_from_slice(b"\"}");
    Some(())
}

/// A peer as it stands in a record.
pub(super) fn peer_text(out: &mut Vec<u8>, peer: Peer<'_>) {
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
