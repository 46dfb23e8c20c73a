//! Answers -> the bytes that prost would make of their messages, without the messages.
//!
//! Writes what the hot calls send; a trace is left to prost. Invariant (SAME-AS-PROST): the bytes are prost's to the
//! last one, which a test holds for answers of every shape.

use portcullis_proto::v1;
use portcullis_question::Detail;

use super::{decision, layer, reason};
use crate::grpc::authorization::Answered;
use crate::grpc::request_id::TEXT_BYTES;

/// The gRPC prefix of a message: a byte for compression and four for the length.
pub(crate) const PREFIX_BYTES: usize = 5;

/// Appends a message with its gRPC prefix.
pub(crate) fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    write(out);
    let length = u32::try_from(out.len() - start - PREFIX_BYTES).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start + 1..start + PREFIX_BYTES) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends an AuthorizeResponse.
pub(crate) fn response(out: &mut Vec<u8>, answered: &Answered<'_>) {
    let decided = answered.verdict.decision();
    number(out, 1, decision(decided.effect) as u64);
    number(out, 2, reason(decided.reason) as u64);
    number(out, 3, layer(decided.layer) as u64);
    parts(out, 4, &decided.message_parts(answered.request));
    if answered.detail != Detail::None {
        for statement in &decided.statements {
            nested(out, 5, |out| {
                text(out, 1, statement.policy_id);
                text(out, 2, statement.sid);
                number(out, 3, statement.index.into());
                text(out, 4, statement.file);
                number(out, 5, statement.line.into());
                number(out, 6, statement.column.into());
                number(out, 7, layer(statement.layer) as u64);
            });
        }
    }
    for key in &decided.missing_context_keys {
        // An element of a list is there even when it is empty.
        delimited(out, 6, key.as_bytes());
    }
    text(out, 8, &answered.stamp.revision);
    number(out, 9, answered.stamp.generation);
    text(out, 10, answered.request_id.text(&mut [0; TEXT_BYTES]));
    number(out, 11, decided.depends_on_time.into());
}

/// Appends an AuthorizeStreamResponse; `result` writes its AuthorizeResult.
pub(crate) fn streamed(out: &mut Vec<u8>, correlation_id: &str, result: impl FnOnce(&mut Vec<u8>)) {
    text(out, 1, correlation_id);
    nested(out, 2, result);
}

/// Appends an AuthorizeResult with an answer.
pub(crate) fn answered(out: &mut Vec<u8>, answered: &Answered<'_>) {
    nested(out, 1, |out| response(out, answered));
}

/// Appends an AuthorizeResult without one.
pub(crate) fn refused(out: &mut Vec<u8>, error: &v1::AuthorizeError) {
    delimited(out, 2, &prost::Message::encode_to_vec(error));
}

/// Appends what a batch says after its results.
pub(crate) fn batch_end(out: &mut Vec<u8>, revision: &str, generation: u64) {
    text(out, 2, revision);
    number(out, 3, generation);
}

/// Appends one result of a batch.
pub(crate) fn batch_result(out: &mut Vec<u8>, result: impl FnOnce(&mut Vec<u8>)) {
    nested(out, 1, result);
}

const VARINT: u8 = 0;
const DELIMITED: u8 = 2;

/// A number, unless it is 0. Field numbers are below 16, so a key is one byte.
fn number(out: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        out.push(field << 3 | VARINT);
        varint(out, number);
    }
}

/// A text, unless it is empty.
fn text(out: &mut Vec<u8>, field: u8, text: &str) {
    if !text.is_empty() {
        delimited(out, field, text.as_bytes());
    }
}

/// A text in parts, not all of them empty.
fn parts(out: &mut Vec<u8>, field: u8, parts: &[&str]) {
    out.push(field << 3 | DELIMITED);
    varint(out, parts.iter().map(|part| part.len() as u64).sum());
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn delimited(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A message whose length is known once it is written. Two bytes are left for it, which suits all that are not tiny or
/// huge; what comes after is moved for the others.
fn nested(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[field << 3 | DELIMITED, 0, 0]);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    let place = start - 2..start;
    match (u16::try_from(length), out.get_mut(place.clone())) {
        (Ok(length @ 0x80..0x4000), Some(bytes)) => {
            bytes.copy_from_slice(&[length as u8 | 0x80, (length >> 7) as u8]);
        }
        _ => {
            let mut bytes = Vec::with_capacity(10);
            varint(&mut bytes, length as u64);
            out.splice(place, bytes);
        }
    }
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests;
