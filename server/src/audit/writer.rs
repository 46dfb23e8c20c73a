//! The thread that renders and writes: take, render, write, sync, tell.
//!
//! It alone touches the destination. An error of the disk stops nothing: what is rendered is kept and tried again every
//! second, and the queue's bound decides about the rest. One error is final: after a failed sync the kernel may have
//! dropped the pages, so what was written since the last sync is lost, and a new file is begun.
//!
//! Invariant (TOLD): a record that was taken out is written, or declared lost with its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::capture::{Kind, Reader};
use super::file::{Destination, Found, Interrupted};
use super::loss::{Gap, LOSSES, Loss};
use super::queue::{Batch, Commit, Queue, next_entry};
use super::render::{GENESIS, Renderer};
use super::service::{Happening, ServiceEvent, now};

/// Rendered bytes that one write takes.
const WRITE_BYTES: usize = 128 << 10;
/// A buffer that grew beyond this is given back.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// How long the writer waits for more records before it writes few.
pub(super) const LINGER: Duration = Duration::from_millis(2);
/// The same where answers wait for the disk.
const SYNC_LINGER: Duration = Duration::from_micros(100);
/// How often a destination that fails is tried again.
const PROBE: Duration = Duration::from_secs(1);
/// The same while the process wants to end.
const LAST_PROBE: Duration = Duration::from_millis(20);
/// Records that were written and then quiet for this long are put on the disk.
const QUIET: Duration = Duration::from_secs(1);

/// What the writer counts, besides what the queue does.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) rotations: AtomicU64,
    pub(super) restarts: AtomicU64,
}

/// What is done besides writing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// Sync every batch and tell who waits for it.
    pub(super) sync: bool,
    /// Hash every line into the next.
    pub(super) chain: bool,
    pub(super) probe: Duration,
}

impl Habits {
    pub(super) fn new(sync: bool, chain: bool) -> Self {
        Self { sync, chain, probe: PROBE }
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    destination: Destination,
    renderer: Renderer,
    habits: Habits,
    counts: Arc<Counts>,
    lines: Vec<u8>,
    /// How many they are.
    rendered: u64,
    entries: Vec<u8>,
    /// Written since the last sync.
    dirty: bool,
    /// The batch under way.
    span: Span,
}

/// The numbers of the records under way.
#[derive(Debug, Default)]
struct Span {
    gap: Option<Gap>,
    records: u64,
    first: u64,
    last: u64,
}

impl Span {
    /// One more record; a gap that it tells of is told again if the record is lost.
    fn note(&mut self, sequence: u64, entry: &[u8]) {
        self.first = if self.records == 0 { sequence } else { self.first };
        self.last = sequence;
        self.records += 1;
        let mut reader = Reader::new(entry);
        if reader.kind() == Some(Kind::Gap)
            && reader.instant().is_some()
            && let Some(gap) = Gap::read(&mut reader)
        {
            self.gap = Some(gap.merged(self.gap));
        }
    }

    /// Everything of it is lost. What was told of before is not counted twice.
    fn lost(&self, loss: Loss) -> Option<Gap> {
        let own = Gap::of(loss, self.first, self.last, self.records);
        (self.records > 0).then(|| own.merged(self.told()))
    }

    /// The numbers that its gap records told of; those losses are counted already.
    fn told(&self) -> Option<Gap> {
        self.gap.map(|gap| Gap { counts: [0; LOSSES.len()], ..gap })
    }
}

impl Writer {
    pub(super) fn new(
        queue: Arc<Queue>,
        destination: Destination,
        renderer: Renderer,
        habits: Habits,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            queue,
            destination,
            renderer,
            habits,
            counts,
            lines: Vec::new(),
            rendered: 0,
            entries: Vec::new(),
            dirty: false,
            span: Span::default(),
        }
    }

    /// Opens the destination; what a process before left torn becomes a record.
    pub(super) fn open(&mut self) -> std::io::Result<()> {
        let Found { torn, last_hash } = self.destination.open()?.unwrap_or_default();
        if self.habits.chain && self.renderer.previous.is_none() {
            self.renderer.previous = Some(last_hash.unwrap_or(GENESIS));
        }
        if torn {
            tracing::warn!("the audit file ended in the middle of a record");
            let mut entry = Vec::new();
            ServiceEvent::new(Happening::Recovered).write(&mut entry, now());
            self.queue.push_happening(&entry);
        }
        Ok(())
    }

    /// Until the queue is closed and empty.
    pub(super) fn run(&mut self) {
        loop {
            let linger = self.linger();
            let idle = self.dirty.then_some(QUIET);
            let spare = std::mem::take(&mut self.entries);
            let Some(batch) = self.queue.take(spare, linger, idle) else {
                self.put_on_disk();
                continue;
            };
            if batch.reopen {
                self.destination.let_go();
            }
            let last = batch.last;
            let synced = self.write(batch);
            // At the end a disk that does not sync is not tried again.
            if last && (self.queue.is_empty() || !synced) {
                self.put_on_disk();
                return;
            }
            if !synced {
                self.rest();
            }
        }
    }

    /// Where answers wait for the disk, only company is waited for: when there was some, there is more on its way.
    fn linger(&self) -> Duration {
        match self.habits.sync {
            false => LINGER,
            true if self.span.records > 1 => SYNC_LINGER,
            true => Duration::ZERO,
        }
    }

    /// After a panic: what was under way is lost, the rest goes on.
    pub(super) fn begin_again(&mut self) {
        self.counts.restarts.fetch_add(1, Ordering::Relaxed);
        let told = std::mem::take(&mut self.span).told();
        self.queue.lose_taken(Loss::WriterBroken, told);
        self.destination.let_go();
        self.lines = Vec::new();
        self.rendered = 0;
        self.entries = Vec::new();
        self.renderer.previous = None;
    }

    /// Whether what had to be on the disk is.
    fn write(&mut self, batch: Batch) -> bool {
        let Batch { entries, commit, .. } = batch;
        self.destination.follow_path();
        self.span = Span::default();
        let mut failed = false;
        let (mut rest, mut records, mut bytes) = (entries.as_slice(), 0, 0);
        while let Some((sequence, entry)) = next_entry(&mut rest) {
            self.span.note(sequence, entry);
            self.render(sequence, entry);
            (records, bytes) = (records + 1, bytes + entry.len());
            if self.lines.len() >= WRITE_BYTES {
                failed |= !self.flush(commit.as_ref());
                self.queue.release(std::mem::take(&mut records), std::mem::take(&mut bytes));
            }
        }
        failed |= !self.flush(commit.as_ref());
        let synced = !self.habits.sync || self.commit();
        failed |= !synced;
        if let Some(commit) = commit {
            commit.send_replace(if failed { Commit::Failed } else { Commit::Durable });
        }
        self.queue.release(records, usize::MAX);
        self.keep(entries);
        synced
    }

    /// After a failed sync: nobody waits for the next one, and it is not tried at once.
    fn rest(&mut self) {
        self.queue.set_stuck(true);
        if self.queue.sleep(self.habits.probe) {
            self.destination.let_go();
        }
    }

    fn render(&mut self, sequence: u64, entry: &[u8]) {
        if self.chain_is_known() && self.renderer.line(&mut self.lines, sequence, entry).is_some() {
            self.rendered += 1;
            return;
        }
        tracing::error!(sequence, "an audit record could not be rendered");
        self.queue.declare(Gap::of(Loss::WriterBroken, sequence, sequence, 1));
    }

    /// A chain begins with the last line of the file, so the file is opened before the first line is rendered.
    fn chain_is_known(&mut self) -> bool {
        while self.habits.chain && self.renderer.previous.is_none() {
            if let Err(error) = self.open()
                && !self.bear(&error, None)
            {
                return false;
            }
        }
        true
    }

    /// Writes what is rendered, however long it takes. False when not all of it was written at once.
    fn flush(&mut self, commit: Option<&watch::Sender<Commit>>) -> bool {
        let lines = std::mem::take(&mut self.lines);
        let (mut done, mut at_once, mut opening) = (0, true, self.destination.openings());
        while done < lines.len() {
            self.destination.make_way(lines.len() - done);
            let opened = self.open();
            if opening != self.destination.openings() {
                // A line torn in the file before begins anew in this one.
                opening = self.destination.openings();
                done = line_start(&lines, done);
            }
            let appended = opened
                .map_err(|error| Interrupted { written: 0, error })
                .and_then(|()| self.destination.append(lines.get(done..).unwrap_or_default()));
            match appended {
                Ok(()) => done = lines.len(),
                Err(Interrupted { written, error }) => {
                    done += written;
                    at_once = false;
                    if !self.bear(&error, commit) {
                        break;
                    }
                    // Whoever deletes it to make room waits for it to be let go of.
                    self.destination.follow_path();
                }
            }
        }
        let whole = std::mem::take(&mut self.rendered);
        let written =
            if done == lines.len() { whole } else { newlines(lines.get(..done).unwrap_or_default()) };
        self.note_written(written, done);
        self.lines = lines;
        self.lines.clear();
        at_once
    }

    fn note_written(&mut self, lines: u64, bytes: usize) {
        self.counts.written.fetch_add(lines, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counts.rotations.store(self.destination.rotations(), Ordering::Relaxed);
        if bytes > 0 {
            self.dirty = true;
            if self.queue.is_stuck() {
                tracing::info!("audit records are written again");
                self.queue.set_stuck(false);
            }
        }
    }

    /// Waits before the next try. False when there will be none.
    fn bear(&mut self, error: &std::io::Error, commit: Option<&watch::Sender<Commit>>) -> bool {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(commit) = commit {
            commit.send_replace(Commit::Failed);
        }
        if !self.queue.is_stuck() {
            tracing::error!(%error, "audit records cannot be written; trying again until they can");
            self.queue.set_stuck(true);
        }
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            self.destination.let_go();
        }
        if self.queue.is_abandoned() {
            return false;
        }
        if self.queue.is_closing() {
            std::thread::sleep(LAST_PROBE);
        } else if self.queue.sleep(self.habits.probe) {
            self.destination.let_go();
        }
        true
    }

    /// Puts a batch on the disk. A failed sync is final for everything that was written since the last one.
    fn commit(&mut self) -> bool {
        let Err(error) = self.destination.sync() else {
            self.dirty = false;
            return true;
        };
        if let Some(gap) = self.span.lost(Loss::NotSynced) {
            self.queue.declare(gap);
        }
        if self.destination.empty_now() {
            self.not_synced(&error);
            // What was hashed is gone with it.
            self.renderer.previous = None;
        } else {
            self.give_up_file(&error);
        }
        false
    }

    /// Where nobody waits for the disk, a failed sync is an error to tell and a file to leave.
    fn put_on_disk(&mut self) {
        self.dirty = false;
        if let Err(error) = self.destination.sync() {
            self.give_up_file(&error);
        }
    }

    fn give_up_file(&mut self, error: &std::io::Error) {
        self.not_synced(error);
        self.destination.set_aside_now();
        self.counts.rotations.store(self.destination.rotations(), Ordering::Relaxed);
    }

    fn not_synced(&mut self, error: &std::io::Error) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, "the audit file could not be synced; what it got last may be lost, a new file is begun");
        self.dirty = false;
    }

    /// Keeps a buffer for the next batch.
    fn keep(&mut self, mut entries: Vec<u8>) {
        entries.clear();
        if entries.capacity() <= BUFFER_BYTES_MAX {
            self.entries = entries;
        }
        if self.lines.capacity() > BUFFER_BYTES_MAX {
            self.lines = Vec::new();
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Where the line begins that byte `at` is in.
fn line_start(lines: &[u8], at: usize) -> usize {
    let before = lines.get(..at).unwrap_or_default();
    memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1)
}
