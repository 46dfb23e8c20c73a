//! Between the threads that decide and the one that writes: one buffer, filled under a lock that is held for one copy.
//!
//! Every record gets its number here, so the file's order is the numbers' order. What finds no room takes a number too
//! and is told of by a gap record in front of the next one.
//!
//! Invariant (BOUNDED): records and bytes that wait, those taken but not yet written included, stay within the bounds;
//! only gap records and happenings of the service itself go beyond, and those are few.

use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::capture::Kind;
use super::loss::{Gap, LOSSES, Loss};
use super::service::{header, now};
use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of an entry before its content: length and number.
const ENTRY_HEAD: usize = 12;
/// A batch under way for longer is stuck, and waiting for it is no use.
const STUCK: Duration = Duration::from_secs(1);
/// Happenings of the service that may wait beyond the bound.
pub(super) const HAPPENINGS_MAX: usize = 256;

/// What became of a batch that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    Pending,
    /// On the disk.
    Durable,
    /// Not known to be on the disk.
    Failed,
}

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// There may be room soon.
    Full,
    /// There will be none soon: the writer is stuck.
    Stuck,
    /// There will be none: the writer ends.
    Closed,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) records_max: usize,
    pub(super) bytes_max: usize,
}

/// Entries that the writer took out.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<u8>,
    pub(super) commit: Option<watch::Sender<Commit>>,
    pub(super) reopen: bool,
    /// Nothing will follow.
    pub(super) last: bool,
}

/// One reading of the queue's numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) recorded: u64,
    pub(super) lost: [u64; LOSSES.len()],
    pub(super) depth: u64,
    pub(super) depth_bytes: u64,
    /// A batch is under way for longer than any disk or reader in order takes.
    pub(super) late: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    space: Notify,
    bounds: Bounds,
    /// Whether somebody may wait for a batch to be on the disk.
    commits: bool,
}

#[derive(Debug)]
struct State {
    entries: Vec<u8>,
    records: usize,
    taken: Taken,
    next: u64,
    gap: Option<Gap>,
    commit: Option<watch::Sender<Commit>>,
    recorded: u64,
    lost: [u64; LOSSES.len()],
    nap: Nap,
    stuck: bool,
    reopen: bool,
    closing: bool,
    abandoned: bool,
}

/// What the writer has and has not yet written.
#[derive(Debug, Default)]
struct Taken {
    records: usize,
    bytes: usize,
    first: u64,
    last: u64,
    since: Option<Instant>,
}

/// How the writer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nap {
    Awake,
    /// Until anything comes.
    Idle,
    /// For more to come, so that one write takes many records.
    Lingering,
    /// For time to pass, or until told.
    Told,
}

impl Queue {
    pub(super) fn new(bounds: Bounds, commits: bool) -> Self {
        let state = State {
            entries: Vec::new(),
            records: 0,
            taken: Taken::default(),
            next: 1,
            gap: None,
            commit: None,
            recorded: 0,
            lost: [0; LOSSES.len()],
            nap: Nap::Awake,
            stuck: false,
            reopen: false,
            closing: false,
            abandoned: false,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), space: Notify::new(), bounds, commits }
    }

    /// Takes one record in. With commits on, what comes back tells when it is on the disk.
    pub(super) fn push(&self, body: &[u8]) -> Result<Option<watch::Receiver<Commit>>, NoRoom> {
        let mut state = self.lock();
        if state.closing {
            return Err(NoRoom::Closed);
        }
        let bytes = state.entries.len() + state.taken.bytes + body.len() + ENTRY_HEAD;
        if state.records + state.taken.records >= self.bounds.records_max || bytes > self.bounds.bytes_max {
            return Err(if state.stuck || state.is_late() { NoRoom::Stuck } else { NoRoom::Full });
        }
        state.recorded += 1;
        state.append(body);
        let commit = self.commits.then(|| state.subscribe());
        self.rouse(state);
        Ok(commit)
    }

    /// Takes a happening of the service in, room or not; those beyond reason are lost like any record.
    pub(super) fn push_happening(&self, body: &[u8]) {
        let mut state = self.lock();
        if state.records + state.taken.records >= self.bounds.records_max.saturating_add(HAPPENINGS_MAX) {
            state.lose(Loss::QueueFull);
            return;
        }
        state.recorded += 1;
        state.append(body);
        self.rouse(state);
    }

    /// A record that will not be written.
    pub(super) fn lose(&self, loss: Loss) {
        let mut state = self.lock();
        state.lose(loss);
        self.rouse(state);
    }

    /// Tells of records that were taken out and will not be written.
    pub(super) fn declare(&self, gap: Gap) {
        let mut state = self.lock();
        for (count, more) in state.lost.iter_mut().zip(gap.counts) {
            *count += more;
        }
        state.gap = Some(gap.merged(state.gap));
        self.rouse(state);
    }

    /// Resolves when there may be room.
    pub(super) fn space(&self) -> tokio::sync::futures::Notified<'_> {
        self.space.notified()
    }

    /// Waits for records, then a little for more of them, and takes all; `None` when `idle` went by without any.
    /// `spare` becomes the next buffer.
    pub(super) fn take(&self, spare: Vec<u8>, linger: Duration, idle: Option<Duration>) -> Option<Batch> {
        let mut state = self.lock();
        if !state.is_due() {
            state.nap = Nap::Idle;
            state = match idle {
                Some(idle) => self.until(state, idle, State::is_due),
                None => {
                    let waited = self.wake.wait_while(state, |state| !state.is_due());
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        let half = self.bounds.records_max / 2;
        if state.records > 0 && state.records < half && !linger.is_zero() {
            state.nap = Nap::Lingering;
            state = self.until(state, linger, |state| state.closing || state.reopen || state.records >= half);
        }
        state.nap = Nap::Awake;
        if !state.is_due() {
            return None;
        }
        if let Some(gap) = state.gap.take() {
            state.append_gap(gap);
        }
        let entries = std::mem::replace(&mut state.entries, spare);
        let records = std::mem::take(&mut state.records);
        let last = state.next - 1;
        state.taken = Taken {
            records,
            bytes: entries.len(),
            first: state.taken.last + 1,
            last,
            since: Some(Instant::now()),
        };
        Some(Batch {
            entries,
            commit: state.commit.take(),
            reopen: std::mem::take(&mut state.reopen),
            last: state.closing,
        })
    }

    /// Some of what was taken is written.
    pub(super) fn release(&self, records: usize, bytes: usize) {
        let mut state = self.lock();
        state.taken.records = state.taken.records.saturating_sub(records);
        state.taken.bytes = state.taken.bytes.saturating_sub(bytes);
        state.taken.since = (state.taken.records > 0).then(Instant::now);
        drop(state);
        self.space.notify_waiters();
    }

    /// All that was taken and not released is lost, and with it what its gap records told.
    pub(super) fn lose_taken(&self, loss: Loss, told: Option<Gap>) {
        let mut state = self.lock();
        let Taken { records, first, last, .. } = state.taken;
        state.taken = Taken { last, ..Taken::default() };
        drop(state);
        if records > 0 {
            self.declare(Gap::of(loss, first, last, records as u64).merged(told));
        }
        self.space.notify_waiters();
    }

    /// Whether the writer can write.
    pub(super) fn set_stuck(&self, stuck: bool) {
        self.lock().stuck = stuck;
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.lock().stuck
    }

    /// Asks the writer to open its file anew.
    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        state.reopen = true;
        self.rouse(state);
    }

    /// Takes nothing more in.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.rouse(state);
    }

    /// Nobody waits for the writer any longer; what is left is lost.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        let left = (state.records + state.taken.records) as u64;
        if let Some(count) = state.lost.get_mut(Loss::Stopped.index()) {
            *count += left;
        }
        self.rouse(state);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Sleeps, or wakes early when the writer is told to end or to open its file anew. Whether it was told the latter.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        let mut state = self.lock();
        state.nap = Nap::Told;
        state = self.until(state, time, |state| state.closing || state.reopen || state.abandoned);
        state.nap = Nap::Awake;
        std::mem::take(&mut state.reopen)
    }

    /// Nothing waits, not even a gap to be told of.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.records == 0 && state.gap.is_none()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    pub(super) fn counted(&self) -> Counted {
        let state = self.lock();
        Counted {
            recorded: state.recorded,
            lost: state.lost,
            depth: (state.records + state.taken.records) as u64,
            depth_bytes: (state.entries.len() + state.taken.bytes) as u64,
            late: state.is_late(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing inside a critical section can panic half way through a change that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until<'s>(
        &self,
        state: MutexGuard<'s, State>,
        time: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'s, State> {
        let waited = self.wake.wait_timeout_while(state, time, |state| !done(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes the writer only when it waits for just this; most records wake nobody.
    fn rouse(&self, mut state: MutexGuard<'_, State>) {
        let wake = match state.nap {
            Nap::Awake => false,
            Nap::Told => state.closing || state.reopen || state.abandoned,
            Nap::Idle => state.is_due(),
            Nap::Lingering => state.closing || state.reopen || state.records >= self.bounds.records_max / 2,
        };
        if wake {
            state.nap = Nap::Awake;
            drop(state);
            self.wake.notify_one();
        }
    }
}

impl State {
    fn is_late(&self) -> bool {
        self.taken.since.is_some_and(|since| since.elapsed() > STUCK)
    }

    fn is_due(&self) -> bool {
        self.records > 0 || self.gap.is_some() || self.reopen || self.closing
    }

    fn append(&mut self, body: &[u8]) {
        if let Some(gap) = self.gap.take() {
            self.append_gap(gap);
        }
        self.append_entry(|entries| entries.extend_from_slice(body));
    }

    fn append_gap(&mut self, gap: Gap) {
        self.append_entry(|entries| {
            header(entries, Kind::Gap, now());
            gap.write(entries);
        });
    }

    fn append_entry(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.entries.len();
        self.entries.extend_from_slice(&[0; 4]);
        self.entries.extend_from_slice(&self.next.to_le_bytes());
        write(&mut self.entries);
        let length = (self.entries.len() - start - ENTRY_HEAD) as u32;
        if let Some(place) = self.entries.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        self.next += 1;
        self.records += 1;
    }

    fn lose(&mut self, loss: Loss) {
        let gap = Gap::of(loss, self.next, self.next, 1);
        self.next += 1;
        self.gap = Some(gap.merged(self.gap));
        if let Some(count) = self.lost.get_mut(loss.index()) {
            *count += 1;
        }
    }

    fn subscribe(&mut self) -> watch::Receiver<Commit> {
        self.commit.get_or_insert_with(|| watch::Sender::new(Commit::Pending)).subscribe()
    }
}

/// Takes the first entry off: its number and its content.
pub(super) fn next_entry<'b>(entries: &mut &'b [u8]) -> Option<(u64, &'b [u8])> {
    let (length, rest) = entries.split_first_chunk::<4>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *entries = rest;
    Some((u64::from_le_bytes(*sequence), body))
}
