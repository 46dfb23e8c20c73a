//! Records that were not written: why, how many, and which numbers they had.

use super::capture::{Reader, number};

/// Why a record was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The queue was full.
    QueueFull,
    /// The disk did not confirm it.
    NotSynced,
    /// The writer ended before it came to it.
    Stopped,
    /// The writer broke while it had it.
    WriterBroken,
}

/// Every loss, in the order in which losses are counted.
pub const LOSSES: [Loss; 4] = [Loss::QueueFull, Loss::NotSynced, Loss::Stopped, Loss::WriterBroken];

impl Loss {
    /// `queue_full`, `not_synced`, `stopped`, `writer_broken`: also the `reason` label of a metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotSynced => "not_synced",
            Self::Stopped => "stopped",
            Self::WriterBroken => "writer_broken",
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::QueueFull => 0,
            Self::NotSynced => 1,
            Self::Stopped => 2,
            Self::WriterBroken => 3,
        }
    }
}

/// Lost records whose numbers lie between two bounds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) counts: [u64; LOSSES.len()],
}

impl Gap {
    pub(super) fn of(loss: Loss, first: u64, last: u64, lost: u64) -> Self {
        let mut counts = [0; LOSSES.len()];
        if let Some(count) = counts.get_mut(loss.index()) {
            *count = lost;
        }
        Self { first, last, counts }
    }

    pub(super) fn lost(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Both gaps as one.
    pub(super) fn merged(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let mut counts = self.counts;
        for (count, more) in counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        Self { first: self.first.min(other.first), last: self.last.max(other.last), counts }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self { first, last, counts } = self;
        number(out, *first);
        number(out, *last);
        counts.iter().for_each(|count| number(out, *count));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (first, last) = (reader.number()?, reader.number()?);
        let mut counts = [0; LOSSES.len()];
        for count in &mut counts {
            *count = reader.number()?;
        }
        Some(Self { first, last, counts })
    }
}
