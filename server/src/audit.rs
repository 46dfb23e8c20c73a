//! The audit trail: every decision, and everything that happens to the service, as one CloudTrail-shaped JSON line.
//!
//! The thread that decides copies what it knows into a bounded queue (`capture`, `queue`); a thread of its own renders
//! (`render`) and writes (`writer`, `file`). Nothing is decided here, and no error of the disk reaches a decision unless
//! the configuration says so.
//!
//! Every process numbers its records from 1 and names itself in each, so that what is missing shows; what the service
//! itself had to leave out is told in a record named `AuditGap`. [`verify`] reads it all back.
//!
//! # Modes
//! - `off`: nothing is recorded. Without `audit_file` that is so whatever the mode.
//! - `drop`: a record that finds the queue full is lost, counted and told of.
//! - `block`, the default: it waits up to `audit_wait_ms` for room, then `on_audit_failure` holds.
//! - `sync`: the answer waits until its record is on the disk, all waiting ones with one sync.
//!
//! # Numbers for metrics
//! [`Audit::counts`] gives one [`AuditCounts`]: `recorded`, `written`, `lost` by [`Loss`], `unconfirmed`, `left_out`,
//! `queue_records`, `queue_bytes`, `bytes_written`, `write_failures`, `rotations`, `writer_restarts`, `healthy`.

mod capture;
mod escape;
mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod loss;
mod mask;
mod options;
pub(crate) mod policies;
mod queue;
mod read_only;
mod render;
mod rotation;
mod service;
/// The primitives under the queue; its model has others in their place.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
}
mod text_limits;
pub mod verify;
mod wait;
mod writer;

use std::cell::RefCell;
use std::fmt;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_engine::Effect;
use tokio::sync::watch;

use crate::config::{Config, Finding};
pub use capture::{Decided, Peer};
pub use loss::{LOSSES, Loss};
pub use options::{AuditFailure, AuditMode, AuditOptions};
use queue::{Bounds, NoRoom, Queue};
use render::Renderer;
pub use service::{Happening, ServiceEvent, Value};
pub use wait::Wait;
use writer::{Counts, Habits, Writer};

/// How long the writer rests after it broke.
const RESTART_REST: Duration = Duration::from_millis(100);

thread_local! {
    /// Where a thread puts its record together before the lock is taken.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whether the audit trail lets an answer go out.
#[derive(Debug)]
#[must_use = "a decision may only be told when its record allows it"]
pub enum Recorded {
    /// It may.
    Done,
    /// Not yet: await [`Wait::settled`].
    Wait(Wait),
    /// It may not; the caller of the sidecar is told that there is no answer.
    Refused,
}

/// Why an audit trail cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened, or must not be used.
    #[error("the audit file `{path}`: {error}")]
    Open {
        /// What was to be opened.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// No thread for the writer.
    #[error("the audit writer cannot start: {0}")]
    Thread(std::io::Error),
}

/// What keeps the configured audit file from being opened, as far as a look tells that changes nothing.
pub(crate) fn check_file(config: &Config) -> Option<Finding> {
    let path = config.audit_file.as_deref().filter(|path| path.as_os_str() != "-")?;
    let error = file::look(path).err().filter(|_| config.audit_mode != AuditMode::Off)?;
    let message = format!("`audit_file` is `{}`: {error}", path.display());
    Some(Finding { settings: vec!["audit_file"], message })
}

/// One reading of everything that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditCounts {
    /// Records that the queue took, of decisions and of happenings.
    pub recorded: u64,
    /// Lines written, gap records included.
    pub written: u64,
    /// Records lost, in the order of [`LOSSES`].
    pub lost: [u64; LOSSES.len()],
    /// Answers of mode `sync` that went out, or were refused, before their record was known to be on the disk.
    pub unconfirmed: u64,
    /// Decisions that the filters left out.
    pub left_out: u64,
    /// Records that wait.
    pub queue_records: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Failed attempts to write, open or sync.
    pub write_failures: u64,
    /// Files set aside.
    pub rotations: u64,
    /// How often the writer broke and began again.
    pub writer_restarts: u64,
    /// Records can be written, and none of them takes long; true when nothing is recorded at all.
    pub healthy: bool,
}

/// The audit trail of a process. Cheap to clone; all clones are one trail. Off by default.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    trail: Option<Arc<Trail>>,
}

struct Trail {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    options: AuditOptions,
    /// `audit_skip_actions`, taken apart.
    skipped: Vec<String>,
    allows: AtomicU64,
    left_out: AtomicU64,
    unconfirmed: AtomicU64,
    ended: watch::Receiver<bool>,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Audit {
    /// A trail that records nothing and costs nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Opens the destination and starts the writer; without a destination the trail is off.
    ///
    /// # Errors
    /// When the destination cannot be opened. A full disk is no such error: the trail opens and waits for room.
    pub fn open(options: AuditOptions) -> Result<Self, AuditError> {
        Self::open_with(options, Box::new(file::open))
    }

    fn open_with(options: AuditOptions, opener: file::Opener) -> Result<Self, AuditError> {
        let AuditOptions { mode, .. } = options;
        let Some(path) = options.file.clone().filter(|_| mode != AuditMode::Off) else {
            return Ok(Self::off());
        };
        let sync = mode == AuditMode::Sync;
        let bounds = Bounds { records_max: options.queue_records_max, bytes_max: options.queue_bytes_max };
        let queue = Arc::new(Queue::new(bounds, sync));
        let counts = Arc::new(Counts::default());
        let target = (path.as_os_str() != "-").then(|| path.clone());
        let destination = file::Destination::new(target, options.rotation(), opener);
        let boot = uuid::Uuid::now_v7().to_string();
        let renderer =
            Renderer::new(options.mask(), options.source_suffix.clone(), options.allow_one_in, &boot);
        let habits = Habits { probe: options.probe, ..Habits::new(sync, options.chain) };
        let mut writer = Writer::new(Arc::clone(&queue), destination, renderer, habits, Arc::clone(&counts));
        match writer.open() {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                tracing::error!(%error, "the disk of the audit file is full");
            }
            Err(error) => return Err(AuditError::Open { path: path.display().to_string(), error }),
        }
        let (end, ended) = watch::channel(false);
        let thread = std::thread::Builder::new().name("portcullis-audit".to_owned());
        thread.spawn(move || supervise(writer, &end)).map_err(AuditError::Thread)?;
        let trail = Trail {
            queue,
            counts,
            skipped: mask::patterns(&options.skip_actions),
            options,
            allows: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            unconfirmed: AtomicU64::new(0),
            ended,
        };
        Ok(Self { trail: Some(Arc::new(trail)) })
    }

    /// Whether anything is recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.trail.is_some()
    }

    /// Records one decision. Call it after the decision and before its answer goes out; never blocks.
    pub fn decision(&self, decided: &Decided<'_, '_>) -> Recorded {
        let Some(trail) = &self.trail else { return Recorded::Done };
        if decided.decision.effect == Effect::Allow && !trail.chooses_allow(decided.input.action) {
            trail.left_out.fetch_add(1, Ordering::Relaxed);
            return Recorded::Done;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            capture::decision(scratch, decided);
            trail.record(scratch)
        })
    }

    /// Records what happened to the service. Never waits and never refuses.
    pub fn happening(&self, event: &ServiceEvent) {
        let Some(trail) = &self.trail else { return };
        let mut entry = Vec::new();
        event.write(&mut entry, service::now());
        trail.queue.push_happening(&entry);
    }

    /// Opens the file anew, as after a rotation by somebody else.
    pub fn reopen(&self) {
        if let Some(trail) = &self.trail {
            trail.queue.reopen();
        }
    }

    /// Everything that is counted, now.
    #[must_use]
    pub fn counts(&self) -> AuditCounts {
        let Some(trail) = &self.trail else { return AuditCounts { healthy: true, ..AuditCounts::default() } };
        let queue = trail.queue.counted();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AuditCounts {
            recorded: queue.recorded,
            written: read(&trail.counts.written),
            lost: queue.lost,
            unconfirmed: read(&trail.unconfirmed),
            left_out: read(&trail.left_out),
            queue_records: queue.depth,
            queue_bytes: queue.depth_bytes,
            bytes_written: read(&trail.counts.bytes),
            write_failures: read(&trail.counts.failures),
            rotations: read(&trail.counts.rotations),
            writer_restarts: read(&trail.counts.restarts),
            healthy: !trail.queue.is_stuck() && !queue.late,
        }
    }

    /// Takes nothing more in, writes what waits, syncs and ends the writer. False when that took longer than `limit`;
    /// what was left is then counted as lost.
    pub async fn close(&self, limit: Duration) -> bool {
        let Some(trail) = &self.trail else { return true };
        trail.queue.close();
        let mut ended = trail.ended.clone();
        if matches!(tokio::time::timeout(limit, ended.wait_for(|ended| *ended)).await, Ok(Ok(_))) {
            return true;
        }
        trail.queue.abandon();
        tracing::error!(left = trail.queue.counted().depth, "audit records were left unwritten at the end");
        false
    }
}

impl Trail {
    /// Whether an allow is recorded: one in `allow_one_in`, spread by a hash so that no rhythm of a caller escapes it.
    fn chooses_allow(&self, action: &str) -> bool {
        if self.skipped.iter().any(|pattern| mask::matches_in_any_case(pattern, action)) {
            return false;
        }
        match self.options.allow_one_in {
            0 => false,
            1 => true,
            one_in => render::mix(self.allows.fetch_add(1, Ordering::Relaxed)).is_multiple_of(one_in),
        }
    }

    fn record(self: &Arc<Self>, body: &[u8]) -> Recorded {
        match self.queue.push(body) {
            Ok(None) => Recorded::Done,
            Ok(Some(_)) if self.queue.is_stuck() => self.unconfirmed(),
            Ok(Some(commit)) => Recorded::Wait(Wait::commit(Arc::clone(self), commit)),
            Err(NoRoom::Full) if self.options.mode != AuditMode::Drop => {
                Recorded::Wait(Wait::room(Arc::clone(self), body.into()))
            }
            Err(NoRoom::Full | NoRoom::Stuck) => self.lose(Loss::QueueFull),
            Err(NoRoom::Closed) => self.lose(Loss::Stopped),
        }
    }

    fn lose(&self, loss: Loss) -> Recorded {
        self.queue.lose(loss);
        match self.options.mode {
            AuditMode::Drop => Recorded::Done,
            _ => self.verdict(),
        }
    }

    fn unconfirmed(&self) -> Recorded {
        self.unconfirmed.fetch_add(1, Ordering::Relaxed);
        self.verdict()
    }

    /// What the configuration says about an answer without a record.
    fn verdict(&self) -> Recorded {
        match self.options.on_failure {
            AuditFailure::Allow => Recorded::Done,
            AuditFailure::Deny => Recorded::Refused,
        }
    }
}

/// Runs the writer, again and again if it breaks.
fn supervise(mut writer: Writer, end: &watch::Sender<bool>) {
    // A broken writer is put in order by `begin_again` before it is used again.
    while catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
        tracing::error!("the audit writer broke; records under way are lost, it begins again");
        writer.begin_again();
        std::thread::sleep(RESTART_REST);
    }
    end.send_replace(true);
}

#[cfg(test)]
mod tests;
