//! What a policy directory looks like from outside: the files that count, with enough of their state to see a change.
//!
//! Looks; opens directories but no files. Every limit is applied here, before a byte is read. Invariant: two equal
//! listings of one root mean that no file that counts was replaced, resized or written between them, as far as the
//! file system tells.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::beneath::{Identity, Place, Root, open_directory};
use super::exposure::Exposure;
use super::fault::{Fault, FaultKind};
use crate::layout::{CONFIG_MAP_LINK, Limits, is_hidden, is_source, printable};

/// The state of a file by which a change shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    identity: Identity,
    size: u64,
    modified: (i128, i128),
    changed: (i128, i128),
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            identity: Identity::of(stat),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec)),
            changed: (i128::from(stat.st_ctime), i128::from(stat.st_ctime_nsec)),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// One file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Path below the base.
    pub(super) name: String,
    /// Its state.
    pub(super) stamp: Stamp,
}

/// All files that count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Sorted by name.
    pub(super) files: Vec<Listed>,
    /// Sorted by name.
    pub(super) faults: Vec<Fault>,
    /// Who else may change what is read.
    pub(super) exposure: Exposure,
    /// A limit on the whole directory was reached and looking stopped there.
    pub(super) capped: bool,
}

impl Listing {
    /// Looks at everything beneath `base`, a path below the root.
    pub(super) fn of(root: &Root, base: &Path, limits: &Limits) -> Self {
        let mut walk = Walk {
            root,
            base,
            limits,
            entries: 0,
            bytes: 0,
            trail: Vec::new(),
            found: Self::default(),
            writable: root.is_writable(),
        };
        let place = if base.as_os_str().is_empty() { "." } else { CONFIG_MAP_LINK };
        match root.find(base) {
            Ok(Place::Directory(directory)) => walk.directory(&directory, ""),
            Ok(Place::Other { .. }) => walk.fault(place, Errno::NOTDIR.into()),
            Err(FaultKind::Io(Errno::NOENT)) => walk.fault(place, FaultKind::Dangling),
            Err(kind) => walk.fault(place, kind),
        }
        let mut found = walk.found;
        found.files.sort_by(|a, b| a.name.cmp(&b.name));
        Fault::sort(&mut found.faults);
        found
    }
}

/// One look at the tree.
struct Walk<'a> {
    root: &'a Root,
    base: &'a Path,
    limits: &'a Limits,
    entries: usize,
    bytes: u64,
    /// The directories from the base to here.
    trail: Vec<Identity>,
    found: Listing,
    /// What is on a read-only mount nobody changes through it, whatever its mode says.
    writable: bool,
}

impl Walk<'_> {
    /// `prefix` is the path of the directory below the base: empty, or ending in `/`.
    fn directory(&mut self, directory: &OwnedFd, prefix: &str) {
        let place = if prefix.is_empty() { "." } else { prefix };
        let stat = match rustix::fs::fstat(directory) {
            Ok(stat) => stat,
            Err(errno) => return self.fault(place, errno.into()),
        };
        let identity = Identity::of(&stat);
        if self.trail.contains(&identity) {
            return self.fault(place, FaultKind::Loop);
        }
        if self.trail.len() > self.limits.depth {
            return self.fault(place, FaultKind::TooDeep(self.limits.depth));
        }
        self.expose(place, &stat);
        self.trail.push(identity);
        match self.names(directory) {
            Ok(names) => {
                for name in &names {
                    if !self.found.capped {
                        self.entry(directory, prefix, name);
                    }
                }
            }
            Err(errno) => self.fault(place, errno.into()),
        }
        self.trail.pop();
    }

    /// The names in a directory that are not skipped.
    fn names(&mut self, directory: &OwnedFd) -> Result<Vec<OsString>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > self.limits.entries {
                self.cap(FaultKind::TooManyEntries(self.limits.entries));
                break;
            }
            if !is_hidden(name) {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    fn entry(&mut self, directory: &OwnedFd, prefix: &str, name: &OsString) {
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(errno) => return self.named_fault(prefix, name, errno.into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let Some(path) = self.path(prefix, name) else { return };
                match open_directory(directory, name) {
                    Ok(inner) => self.directory(&inner, &format!("{path}/")),
                    Err(errno) => self.fault(&path, errno.into()),
                }
            }
            FileType::Symlink => self.link(prefix, name),
            _ => self.leaf(prefix, name, &stat),
        }
    }

    fn link(&mut self, prefix: &str, name: &OsString) {
        let Some(path) = self.path(prefix, name) else { return };
        match self.root.find(&self.base.join(&path)) {
            Ok(Place::Directory(inner)) => self.directory(&inner, &format!("{path}/")),
            Ok(Place::Other { stat, .. }) => self.leaf(prefix, name, &stat),
            Err(FaultKind::Io(Errno::NOENT)) => self.fault(&path, FaultKind::Dangling),
            Err(kind) => self.fault(&path, kind),
        }
    }

    /// Something that is not a directory.
    fn leaf(&mut self, prefix: &str, name: &OsString, stat: &Stat) {
        if !is_source(name.as_bytes()) {
            return;
        }
        let Some(path) = self.path(prefix, name) else { return };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return self.fault(&path, FaultKind::NotAFile);
        }
        let stamp = Stamp::of(stat);
        let together = self.bytes.saturating_add(stamp.size);
        if stamp.size > self.limits.file_bytes {
            self.fault(&path, FaultKind::TooLarge(self.limits.file_bytes));
        } else if self.found.files.len() >= self.limits.files {
            self.cap(FaultKind::TooManyFiles(self.limits.files));
        } else if together > self.limits.total_bytes {
            self.cap(FaultKind::TooLargeTogether(self.limits.total_bytes));
        } else {
            self.bytes = together;
            self.expose(&path, stat);
            self.found.files.push(Listed { name: path, stamp });
        }
    }

    fn expose(&mut self, path: &str, stat: &Stat) {
        if self.writable {
            self.found.exposure.note(path, stat);
        }
    }

    /// The path below the base, or a fault when it cannot be shown.
    fn path(&mut self, prefix: &str, name: &OsString) -> Option<String> {
        let Some(text) = printable(name.as_bytes()) else {
            self.found.faults.push(Fault::of_name(prefix, name.as_bytes()));
            return None;
        };
        Some(format!("{prefix}{text}"))
    }

    fn named_fault(&mut self, prefix: &str, name: &OsString, kind: FaultKind) {
        if let Some(path) = self.path(prefix, name) {
            self.fault(&path, kind);
        }
    }

    fn fault(&mut self, file: &str, kind: FaultKind) {
        self.found.faults.push(Fault::new(file, kind));
    }

    fn cap(&mut self, kind: FaultKind) {
        self.found.capped = true;
        self.fault(".", kind);
    }
}
