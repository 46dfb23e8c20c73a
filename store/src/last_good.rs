//! The last good policy set on disk, for a start with a directory that does not load.
//!
//! One file in the state directory, replaced by rename, with a digest over everything in it. What is read back is text
//! that is built and validated like the directory's own; nothing compiled is trusted. Invariant (WHOLE-OR-NOT): a file
//! that was torn, changed, is too old, is of another policy directory, of another version, or not ours is not used.

mod record;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::layout::Limits;
use crate::snapshot::{Packed, Revision};
pub(crate) use record::Record;

const FILE: &str = "last-good";
const NEXT: &str = "last-good.next";
const LOCK: &str = "lock";
/// What the file may have over the sources: names, lengths, and what cannot be compressed.
const OVERHEAD: u64 = 16 << 20;
/// A record from the future by more than this says that the clock cannot be trusted to tell its age.
const SKEW_MAX: Duration = Duration::from_secs(600);
/// A record is written again when this part of its life is over, so that it ages only while nobody confirms it.
const RENEW_PART: u32 = 8;

/// Where the last good policy set is kept, and for how long it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateOptions {
    /// A directory of this process alone; made when missing.
    pub directory: PathBuf,
    /// A policy set that was confirmed longer ago than this is not used.
    pub age_max: Duration,
}

/// Why a record is not used, or could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{0}")]
    System(#[from] Errno),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it may be written by others than this process and root")]
    NotOurs,
    #[error("it is larger than the limits of the policy directory allow")]
    TooLarge,
    #[error("it is damaged or not from this program")]
    Damaged,
    #[error("version {0} wrote it")]
    Version(String),
    #[error("it is of the policy directory `{0}`")]
    Elsewhere(String),
    #[error("it is {0} s old")]
    TooOld(u64),
    #[error("it is from the future; the clock cannot be trusted to tell its age")]
    Future,
}

/// The state directory, held and locked.
#[derive(Debug)]
pub(crate) struct LastGood {
    options: StateOptions,
    directory: OwnedFd,
    /// Held as long as this lives; without it another process keeps its own record here, and nothing is written.
    lock: Option<OwnedFd>,
    saved: Option<(Revision, std::time::Instant)>,
}

impl LastGood {
    /// Makes and opens the state directory.
    pub(crate) fn open(options: StateOptions) -> Result<Self, StateError> {
        if let Some(parent) = options.directory.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match rustix::fs::mkdir(&options.directory, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&options.directory, flags, Mode::empty())?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&directory, LOCK, flags, Mode::RUSR | Mode::WUSR)?;
        let lock = match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(lock),
            Err(Errno::WOULDBLOCK) => None,
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self { options, directory, lock, saved: None })
    }

    /// Is the directory this process's own?
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Is it time to write this revision?
    pub(crate) fn is_due(&self, revision: Revision) -> bool {
        let renew = self.options.age_max / RENEW_PART;
        self.lock.is_some() && self.saved.is_none_or(|(saved, at)| saved != revision || at.elapsed() > renew)
    }

    /// Writes the record in one step: whoever is killed at any moment leaves the old one or the new one.
    pub(crate) fn save(
        &mut self,
        policies: &Path,
        revision: Revision,
        sources: &[Packed],
    ) -> Result<(), StateError> {
        let bytes = record::encode(policies, SystemTime::now(), revision, sources);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What an earlier process left behind unfinished may have any mode; it is not reused.
        match rustix::fs::unlinkat(&self.directory, NEXT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let next = rustix::fs::openat(&self.directory, NEXT, flags | OFlags::EXCL, Mode::RUSR | Mode::WUSR)?;
        let mut next = File::from(next);
        next.write_all(&bytes)?;
        next.sync_all()?;
        rustix::fs::renameat(&self.directory, NEXT, &self.directory, FILE)?;
        rustix::fs::fsync(&self.directory)?;
        self.saved = Some((revision, std::time::Instant::now()));
        Ok(())
    }

    /// The record, when there is one and it may be used for this policy directory.
    pub(crate) fn load(&self, policies: &Path, limits: &Limits) -> Result<Option<Record>, StateError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.directory, FILE, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(StateError::NotAFile);
        }
        let ours = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
        if !ours || stat.st_mode & 0o022 != 0 {
            return Err(StateError::NotOurs);
        }
        let max = limits.total_bytes.saturating_add(OVERHEAD);
        let mut bytes = Vec::new();
        File::from(file).take(max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > max {
            return Err(StateError::TooLarge);
        }
        let record = record::decode(&bytes)?;
        self.check(&record, policies)?;
        let total: u64 = record.sources.iter().map(|source| source.bytes.len() as u64).sum();
        if record.sources.len() > limits.files || total > limits.total_bytes {
            return Err(StateError::TooLarge);
        }
        Ok(Some(record))
    }

    fn check(&self, record: &Record, policies: &Path) -> Result<(), StateError> {
        if !record::is_readable_here(&record.version) {
            return Err(StateError::Version(record.version.clone()));
        }
        if record.policies != policies {
            return Err(StateError::Elsewhere(record.policies.to_string_lossy().into_owned()));
        }
        match SystemTime::now().duration_since(record.saved_at) {
            Ok(age) if age > self.options.age_max => Err(StateError::TooOld(age.as_secs())),
            Ok(_) => Ok(()),
            Err(ahead) if ahead.duration() > SKEW_MAX => Err(StateError::Future),
            Err(_) => Ok(()),
        }
    }
}

/// A record of this body, with a digest that fits it.
#[cfg(feature = "fuzzing")]
pub(crate) fn record_of_body(body: &[u8]) -> Option<Record> {
    record::decode(&record::of_body(body)).ok()
}

/// Whether these bytes are a whole record.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_record(bytes: &[u8]) -> bool {
    record::decode(bytes).is_ok()
}

#[cfg(test)]
mod tests;
