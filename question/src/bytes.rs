//! The bytes of a question -> a [`Message`] that borrows them.
//!
//! Reads what callers send and gives up on anything else: a malformed message, a group, a varint out of range. Giving up
//! is no answer; whoever asked reads the same bytes with prost, whose word on what is wrong counts. Invariant
//! (SAME-AS-PROST): a message that is read here is the one that prost reads; a property test holds the two together.

use std::borrow::Cow;

use prost_types::Timestamp;
use smallvec::{Array, SmallVec};

use crate::message::{BatchMessage, Message, SessionMessage, Value};

/// Not read here; it may still be a good message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

type Read<T> = Result<T, Unread>;

/// Reads an AuthorizeRequest.
///
/// # Errors
/// When it is not read here.
pub fn authorize(bytes: &[u8]) -> Read<Message<'_>> {
    let mut message = Message::default();
    message.merge(bytes)?;
    settle(&mut message.context);
    Ok(message)
}

/// Reads an AuthorizeStreamRequest: its correlation id, and its question when it has one.
///
/// # Errors
/// When it is not read here.
pub fn streamed(bytes: &[u8]) -> Read<(&str, Option<Message<'_>>)> {
    let (mut correlation_id, mut request) = ("", None);
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => correlation_id = reader.text(wire)?,
            2 => request.get_or_insert_with(Message::default).merge(reader.bytes(wire)?)?,
            _ => reader.skip(wire)?,
        }
    }
    if let Some(message) = &mut request {
        settle(&mut message.context);
    }
    Ok((correlation_id, request))
}

/// Reads a BatchAuthorizeRequest of at most `items_max` items.
///
/// # Errors
/// When it is not read here.
pub fn batch(bytes: &[u8], items_max: usize) -> Read<BatchMessage<'_>> {
    let mut message = BatchMessage::default();
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => message.principal = reader.text(wire)?,
            2 => merge_session(&mut message.session, reader.bytes(wire)?)?,
            3 => message.context.push(entry(reader.bytes(wire)?)?),
            4 if message.items.len() == items_max => return Err(Unread),
            4 => message.items.push(item(reader.bytes(wire)?)?),
            5 => message.min_generation = reader.number(wire)?,
            6 => message.detail = reader.number(wire)? as i32,
            _ => reader.skip(wire)?,
        }
    }
    settle(&mut message.context);
    Ok(message)
}

/// An item has the fields 1 to 6 of an AuthorizeRequest and no others.
fn item(bytes: &[u8]) -> Read<Message<'_>> {
    let mut message = Message::default();
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        if !message.shared_field(number, wire, &mut reader)? {
            reader.skip(wire)?;
        }
    }
    settle(&mut message.context);
    Ok(message)
}

impl<'m> Message<'m> {
    fn merge(&mut self, bytes: &'m [u8]) -> Read<()> {
        let mut reader = Reader(bytes);
        while let Some((number, wire)) = reader.field()? {
            match number {
                7 => self.min_generation = reader.number(wire)?,
                8 => self.detail = reader.number(wire)? as i32,
                _ if self.shared_field(number, wire, &mut reader)? => {}
                _ => reader.skip(wire)?,
            }
        }
        Ok(())
    }

    /// Reads a field that a question and an item of a batch both have.
    fn shared_field(&mut self, number: u32, wire: Wire, reader: &mut Reader<'m>) -> Read<bool> {
        match number {
            1 => self.principal = reader.text(wire)?,
            2 => self.action = reader.text(wire)?,
            3 => self.resource = reader.text(wire)?,
            4 => self.context.push(entry(reader.bytes(wire)?)?),
            5 => self.resource_account = reader.text(wire)?,
            6 => merge_session(&mut self.session, reader.bytes(wire)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn merge_session<'m>(session: &mut Option<Box<SessionMessage<'m>>>, bytes: &'m [u8]) -> Read<()> {
    let session = session.get_or_insert_default();
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => session.policies.to_mut().push(reader.text(wire)?.to_owned()),
            2 => session.policy_arns.to_mut().push(reader.text(wire)?.to_owned()),
            3 => session.tags.push(tag(reader.bytes(wire)?)?),
            4 => session.transitive_tag_keys.push(reader.text(wire)?),
            5 => merge_time(&mut session.issued_at, reader.bytes(wire)?)?,
            6 => merge_time(&mut session.mfa_authenticated_at, reader.bytes(wire)?)?,
            7 => session.source_identity = reader.text(wire)?,
            8 => session.federated_provider = reader.text(wire)?,
            9 => session.issuer = reader.text(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    settle(&mut session.tags);
    Ok(())
}

fn tag(bytes: &[u8]) -> Read<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => key = reader.text(wire)?,
            2 => value = reader.text(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok((key, value))
}

fn merge_time(time: &mut Option<Timestamp>, bytes: &[u8]) -> Read<()> {
    let time = time.get_or_insert_default();
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => time.seconds = reader.number(wire)? as i64,
            2 => time.nanos = reader.number(wire)? as i32,
            _ => reader.skip(wire)?,
        }
    }
    Ok(())
}

fn entry(bytes: &[u8]) -> Read<(&str, Value<'_>)> {
    let (mut key, mut value) = ("", Value::Missing);
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => key = reader.text(wire)?,
            2 => value.merge(reader.bytes(wire)?)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok((key, value))
}

impl<'m> Value<'m> {
    fn merge(&mut self, bytes: &'m [u8]) -> Read<()> {
        let mut reader = Reader(bytes);
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => *self = Self::Text(reader.text(wire)?),
                2 => {
                    let mut more = texts(reader.bytes(wire)?)?;
                    match self {
                        Self::List(values) => values.to_mut().append(&mut more),
                        _ => *self = Self::List(Cow::Owned(more)),
                    }
                }
                3 => *self = Self::Boolean(reader.number(wire)? != 0),
                4 => *self = Self::Number(reader.text(wire)?),
                _ => reader.skip(wire)?,
            }
        }
        Ok(())
    }
}

/// The values of a TextList.
fn texts(bytes: &[u8]) -> Read<Vec<String>> {
    let mut values = Vec::new();
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => values.push(reader.text(wire)?.to_owned()),
            _ => reader.skip(wire)?,
        }
    }
    Ok(values)
}

/// What a map makes of its entries: sorted, and of two with one key the later.
fn settle<'m, T, A: Array<Item = (&'m str, T)>>(entries: &mut SmallVec<A>) {
    if entries.is_sorted_by(|one, next| one.0 < next.0) {
        return;
    }
    entries.sort_by(|one, other| one.0.cmp(other.0));
    entries.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
}

/// How a field is laid down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Fixed64,
    Delimited,
    Fixed32,
}

/// What is still to be read.
struct Reader<'m>(&'m [u8]);

impl<'m> Reader<'m> {
    /// The number and layout of the next field; none at the end.
    #[inline]
    fn field(&mut self) -> Read<Option<(u32, Wire)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Unread)?;
        let wire = match key & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Delimited,
            5 => Wire::Fixed32,
            _ => return Err(Unread),
        };
        match key >> 3 {
            0 => Err(Unread),
            number => Ok(Some((number, wire))),
        }
    }

    #[inline]
    fn varint(&mut self) -> Read<u64> {
        match self.0 {
            [byte @ 0..=0x7f, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Read<u64> {
        let mut number = 0;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            if place == 9 && *byte > 1 {
                return Err(Unread);
            }
            number |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.0 = self.0.get(place + 1..).ok_or(Unread)?;
                return Ok(number);
            }
        }
        Err(Unread)
    }

    fn take(&mut self, length: u64) -> Read<&'m [u8]> {
        let length = usize::try_from(length).map_err(|_| Unread)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unread)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn number(&mut self, wire: Wire) -> Read<u64> {
        if wire == Wire::Varint { self.varint() } else { Err(Unread) }
    }

    #[inline]
    fn bytes(&mut self, wire: Wire) -> Read<&'m [u8]> {
        if wire != Wire::Delimited {
            return Err(Unread);
        }
        let length = self.varint()?;
        self.take(length)
    }

    #[inline]
    fn text(&mut self, wire: Wire) -> Read<&'m str> {
        std::str::from_utf8(self.bytes(wire)?).map_err(|_| Unread)
    }

    fn skip(&mut self, wire: Wire) -> Read<()> {
        match wire {
            Wire::Varint => self.varint().map(drop),
            Wire::Fixed64 => self.take(8).map(drop),
            Wire::Delimited => self.bytes(wire).map(drop),
            Wire::Fixed32 => self.take(4).map(drop),
        }
    }
}

#[cfg(test)]
mod tests;
