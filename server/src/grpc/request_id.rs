//! Names of answers: UUIDs of version 7, made without asking the system for randomness each time.
//!
//! They need to be different from each other, not to be hard to guess: a caller never presents one as a proof.
//! Invariant: two threads of one process, and two processes, draw from sequences that start at random places.

use std::cell::Cell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// The name of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(Uuid);

thread_local! {
    /// A place in a sequence that visits every 64-bit number once, and what tells this thread's sequence from others.
    static SEQUENCE: Cell<(u64, u64)> = Cell::new(Uuid::new_v4().as_u64_pair());
}

/// Bytes of the text of an id.
pub(crate) const TEXT_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

impl RequestId {
    /// A new name, which sorts by `time`.
    pub(crate) fn new(time: SystemTime) -> Self {
        let millis = time.duration_since(UNIX_EPOCH).map_or(0, |since| {
            since.as_secs().saturating_mul(1_000).saturating_add(since.subsec_millis().into())
        });
        let (place, stream) = SEQUENCE.get();
        let place = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
        SEQUENCE.set((place, stream));
        let mut bytes = [0; 10];
        let (low, high) = bytes.split_at_mut(2);
        low.copy_from_slice(&(stream as u16).to_be_bytes());
        high.copy_from_slice(&mixed(place ^ stream.rotate_left(32)).to_be_bytes());
        Self(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    /// The id as text, in `buffer`.
    pub(crate) fn text(self, buffer: &mut [u8; TEXT_BYTES]) -> &str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The finalizer of splitmix64: a bijection, so that different places give different numbers.
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_version_7_differ_and_sort_by_time() {
        let start = UNIX_EPOCH + Duration::from_millis(1_778_051_289_000);
        let mut seen = HashSet::new();
        let mut last = RequestId::new(start - Duration::from_millis(1)).to_string();
        for number in 0..10_000 {
            let id = RequestId::new(start + Duration::from_millis(number));
            assert_eq!(id.0.get_version_num(), 7);
            let text = id.to_string();
            assert_eq!(id.text(&mut [0; TEXT_BYTES]), text);
            assert!(text > last);
            assert!(seen.insert(text.clone()));
            last = text;
        }
        let same_time: HashSet<_> = (0..10_000).map(|_| RequestId::new(start).to_string()).collect();
        assert_eq!(same_time.len(), 10_000);
        let elsewhere = std::thread::spawn(move || RequestId::new(start).to_string()).join().unwrap();
        assert!(!same_time.contains(&elsewhere));
    }
}
