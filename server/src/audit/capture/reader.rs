//! Reads what its parent wrote, in the same order.

use std::net::IpAddr;

use portcullis_engine::{Effect, Instant, Layer, Reason};

use super::{CUT, FALSE, Kind, LAYERS, LEFT_OUT, LIST, Peer, TEXT, TRUE};

/// A text out of the queue, perhaps cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) struct Cut<'b> {
    /// UTF-8.
    pub(in crate::audit) text: &'b [u8],
    /// Bytes that were left out.
    pub(in crate::audit) missing: u64,
}

impl<'b> Cut<'b> {
    /// The text as such, for whoever has to look into it.
    pub(in crate::audit) fn as_str(&self) -> &'b str {
        std::str::from_utf8(self.text).unwrap_or_default()
    }
}

/// A context value out of the queue.
#[derive(Debug, Clone, Copy)]
pub(in crate::audit) enum Taken<'b> {
    Text(Cut<'b>),
    Bool(bool),
    /// A list; its values follow.
    List(Count),
}

/// How many there were, and how many are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) struct Count {
    pub(in crate::audit) all: u64,
    pub(in crate::audit) kept: u64,
}

/// Reads what this file wrote, in the same order.
#[derive(Debug, Clone, Copy)]
pub(in crate::audit) struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(in crate::audit) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub(in crate::audit) fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (head, tail) = self.bytes.split_at_checked(count)?;
        self.bytes = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk()?;
        self.bytes = tail;
        Some(*head)
    }

    pub(in crate::audit) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(in crate::audit) fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(in crate::audit) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    pub(in crate::audit) fn kind(&mut self) -> Option<Kind> {
        Kind::of(self.byte()?)
    }

    pub(in crate::audit) fn effect(&mut self) -> Option<Effect> {
        Some(if self.byte()? == 1 { Effect::Allow } else { Effect::Deny })
    }

    pub(in crate::audit) fn reason(&mut self) -> Option<Reason> {
        match self.byte()? {
            0 => Some(Reason::Allowed),
            1 => Some(Reason::ExplicitDeny),
            2 => Some(Reason::ImplicitDeny),
            3 => Some(Reason::EvaluationLimit),
            _ => None,
        }
    }

    pub(in crate::audit) fn layer(&mut self) -> Option<Layer> {
        LAYERS.get(usize::from(self.byte()?)).copied()
    }

    pub(in crate::audit) fn instant(&mut self) -> Option<Option<Instant>> {
        if self.byte()? == 0 {
            return Some(None);
        }
        self.time().map(Some)
    }

    /// A whole second and a part of it.
    pub(in crate::audit) fn time(&mut self) -> Option<Instant> {
        let seconds = i64::from_le_bytes(self.array()?);
        Some(Instant::new(seconds, u32::from_le_bytes(self.array()?)))
    }

    pub(in crate::audit) fn wide(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// What was written as one section, unread.
    pub(in crate::audit) fn section(&mut self) -> Option<&'b [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.bytes(usize::try_from(length).ok()?)
    }

    /// All that is left, unread.
    pub(in crate::audit) fn rest(&self) -> &'b [u8] {
        self.bytes
    }

    pub(in crate::audit) fn text(&mut self) -> Option<Cut<'b>> {
        let head = u16::from_le_bytes(self.array()?);
        let missing = if head & CUT != 0 { self.number()? } else { 0 };
        let bytes = self.bytes(usize::from(head & !CUT))?;
        Some(Cut { text: bytes, missing })
    }

    pub(in crate::audit) fn count(&mut self) -> Option<Count> {
        Some(Count { all: self.number()?, kept: self.number()? })
    }

    pub(in crate::audit) fn peer(&mut self) -> Option<Peer<'b>> {
        Some(match self.byte()? {
            0 => Peer::Unknown,
            family @ (4 | 6) => Peer::Ip(self.ip(family)?),
            1 => Peer::Unix { uid: self.small()?, gid: self.small()? },
            2 => {
                let family = self.byte()?;
                Peer::Known { ip: self.ip(family)?, name: self.text()?.as_str() }
            }
            _ => return None,
        })
    }

    fn ip(&mut self, family: u8) -> Option<IpAddr> {
        match family {
            4 => Some(IpAddr::from(self.array::<4>()?)),
            6 => Some(IpAddr::from(self.array::<16>()?)),
            _ => None,
        }
    }

    /// The next context entry, or how many were left out.
    pub(in crate::audit) fn context_entry(&mut self) -> Option<Result<(Cut<'b>, Taken<'b>), u64>> {
        Some(match self.byte()? {
            TEXT => Ok((self.text()?, Taken::Text(self.text()?))),
            TRUE => Ok((self.text()?, Taken::Bool(true))),
            FALSE => Ok((self.text()?, Taken::Bool(false))),
            LIST => Ok((self.text()?, Taken::List(self.count()?))),
            LEFT_OUT => Err(self.number()?),
            _ => return None,
        })
    }
}
