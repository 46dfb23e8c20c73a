//! Opening paths that must stay beneath one directory.
//!
//! Every step of a path is taken here and not by the kernel: each open is relative to a directory that is already held
//! and follows no link, so a link swapped in at the wrong moment cannot lead out. Invariant *beneath*: every descriptor
//! handed out belongs to an object reached from the root without an absolute link and without a `..` above the root.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::fault::FaultKind;
use super::steps;

/// Links followed on the way to one object.
const LINKS_MAX: usize = 40;
/// Directories held open on the way to one object.
const NESTING_MAX: usize = 64;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Which object a path led to, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: i128,
    inode: i128,
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        Self { device: i128::from(stat.st_dev), inode: i128::from(stat.st_ino) }
    }
}

/// The directory nothing may leave, opened once.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
}

/// Where a path ends.
#[derive(Debug)]
pub(super) enum Place {
    /// A directory, opened.
    Directory(OwnedFd),
    /// Anything else, not opened: it may be a FIFO or a device.
    Other {
        /// The directory it is in; the root when absent.
        parent: Option<OwnedFd>,
        /// Its name there.
        name: OsString,
        /// What it was when looked at.
        stat: Stat,
    },
}

impl Root {
    /// The root itself may be a link: that is how whole directories are swapped.
    pub(super) fn open(directory: &Path) -> Result<Self, Errno> {
        Ok(Self { directory: rustix::fs::open(directory, DIRECTORY, Mode::empty())? })
    }

    pub(super) fn identity(&self) -> Result<Identity, Errno> {
        Ok(Identity::of(&rustix::fs::fstat(&self.directory)?))
    }

    /// Can anything be changed through this mount? A file system that does not say counts as one.
    pub(super) fn is_writable(&self) -> bool {
        let flags = rustix::fs::fstatvfs(&self.directory).map(|stat| stat.f_flag);
        !flags.is_ok_and(|flags| flags.contains(StatVfsMountFlags::RDONLY))
    }

    /// Is this file the root of a mount of its own? Then a change of the name elsewhere never shows here.
    pub(super) fn is_mount(&self, parent: Option<&OwnedFd>, name: &OsString) -> bool {
        let at = parent.unwrap_or(&self.directory);
        let found = rustix::fs::statx(at, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
        found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    /// What the link of this name in the root points to, if it is one.
    pub(super) fn read_link(&self, name: &str) -> Option<OsString> {
        let target = rustix::fs::readlinkat(&self.directory, name, Vec::new()).ok()?;
        Some(OsString::from_vec(target.into_bytes()))
    }

    /// Follows `path` from the root.
    pub(super) fn find(&self, path: &Path) -> Result<Place, FaultKind> {
        let mut pending = steps(path);
        let mut entered: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(step) = pending.pop() {
            match step.as_bytes() {
                b"." => continue,
                b".." => {
                    entered.pop().ok_or(FaultKind::Escapes)?;
                    continue;
                }
                [b'/', ..] => return Err(FaultKind::Escapes),
                _ => {}
            }
            let here = entered.last().unwrap_or(&self.directory);
            let stat = rustix::fs::statat(here, &step, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    if entered.len() >= NESTING_MAX {
                        return Err(FaultKind::TooDeep(NESTING_MAX));
                    }
                    entered.push(open_directory(here, &step)?);
                }
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(FaultKind::Loop);
                    }
                    let target = rustix::fs::readlinkat(here, &step, Vec::new())?;
                    pending.extend(steps(&PathBuf::from(OsString::from_vec(target.into_bytes()))));
                }
                _ if pending.is_empty() => {
                    return Ok(Place::Other { parent: entered.pop(), name: step, stat });
                }
                _ => return Err(FaultKind::Io(Errno::NOTDIR)),
            }
        }
        match entered.pop() {
            Some(directory) => Ok(Place::Directory(directory)),
            None => Ok(Place::Directory(open_directory(&self.directory, &OsString::from("."))?)),
        }
    }

    /// Opens a regular file for reading; `None` when it is anything else by now. Never blocks.
    pub(super) fn open_file(
        &self,
        parent: Option<&OwnedFd>,
        name: &OsString,
    ) -> Result<Option<(OwnedFd, Stat)>, Errno> {
        let file = rustix::fs::openat(parent.unwrap_or(&self.directory), name, FILE, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(regular.then_some((file, stat)))
    }
}

/// Opens a directory below one that is held.
pub(super) fn open_directory(parent: &OwnedFd, name: &OsString) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, DIRECTORY.union(OFlags::NOFOLLOW), Mode::empty())
}
