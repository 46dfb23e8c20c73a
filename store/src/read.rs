//! A policy directory -> its sources, all from one moment.
//!
//! Reads; does not interpret. Nothing is read through a path that could leave the root, nothing that is not a regular
//! file is opened, and no file is read that is over a limit. Invariant *one moment*: what is returned was there, unchanged,
//! before the first byte was read and after the last one, so two versions of a directory are never mixed.

mod beneath;
mod exposure;
mod fault;
mod listing;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use crate::layout::{CONFIG_MAP_LINK, Limits};
use crate::snapshot::Revision;

pub(crate) use beneath::Identity;
use beneath::{Place, Root};
pub(crate) use exposure::Exposure;
pub(crate) use fault::Fault;
use fault::FaultKind;
use listing::{Listed, Listing, Stamp};

/// How often a directory that changes while it is read is read again.
const ATTEMPTS_MAX: usize = 20;
/// The pause between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

/// One file's text.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path below the root, `/` between the parts.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
}

/// Everything a policy directory holds, and everything that stood in the way.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Sorted by name.
    pub(crate) sources: Vec<Source>,
    /// Sorted by name. With any fault the sources are not the whole directory.
    pub(crate) faults: Vec<Fault>,
    /// Who else may change the sources, where that is no fault.
    pub(crate) exposure: Exposure,
    /// Of the names, the contents and the faults.
    pub(crate) revision: Revision,
}

impl Reading {
    fn new(sources: Vec<Source>, mut faults: Vec<Fault>) -> Self {
        Fault::sort(&mut faults);
        let revision = revision(&sources, &faults);
        Self { sources, faults, exposure: Exposure::default(), revision }
    }
}

/// The rules of reading: how much, and whether loose permissions are a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    pub(crate) strict: bool,
}

/// What is in the directory now, or why that cannot be said.
pub(crate) fn read_directory(directory: &Path, rules: &Rules) -> Reading {
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            std::thread::sleep(ATTEMPT_PAUSE);
        }
        if let Some(reading) = read_once(directory, rules) {
            return reading;
        }
    }
    Reading::new(Vec::new(), vec![Fault::of_root(directory, FaultKind::Unstable)])
}

/// Looks, reads, looks again; `None` when the two looks differ.
fn read_once(directory: &Path, rules: &Rules) -> Option<Reading> {
    match Look::take(directory, &rules.limits) {
        Ok(look) => look.read(rules.strict).filter(|_| look.still_holds()),
        Err(fault) => Some(Reading::new(Vec::new(), vec![fault])),
    }
}

/// What the directory looked like, and the directory itself, held open.
struct Look<'a> {
    directory: &'a Path,
    root: Root,
    base: PathBuf,
    listing: Listing,
    limits: &'a Limits,
}

impl<'a> Look<'a> {
    fn take(directory: &'a Path, limits: &'a Limits) -> Result<Self, Fault> {
        let root = Root::open(directory).map_err(|errno| Fault::of_root(directory, errno.into()))?;
        let base = base(&root);
        let listing = Listing::of(&root, &base, limits);
        Ok(Self { directory, root, base, listing, limits })
    }

    /// The files that were listed; `None` when one of them is another file by now.
    fn read(&self, strict: bool) -> Option<Reading> {
        let mut faults = self.listing.faults.clone();
        if strict {
            faults.extend(self.listing.exposure.faults());
        }
        let mut sources = Vec::new();
        // Over a cap the rest of the directory is unknown; its files would only add noise to the one thing to say.
        let wanted = if self.listing.capped { &[] } else { self.listing.files.as_slice() };
        for listed in wanted {
            match read_file(&self.root, &self.base, listed) {
                Ok(Some(bytes)) => sources.push(Source { name: listed.name.clone(), bytes }),
                Ok(None) => return None,
                Err(errno) => faults.push(Fault::new(&listed.name, errno.into())),
            }
        }
        let exposure = if strict { Exposure::default() } else { self.listing.exposure.clone() };
        Some(Reading { exposure, ..Reading::new(sources, faults) })
    }

    fn still_holds(&self) -> bool {
        base(&self.root) == self.base
            && Listing::of(&self.root, &self.base, self.limits) == self.listing
            && self.has_its_name()
    }

    /// A directory that lost its name to another is on its way to be deleted: what it lacks says nothing.
    fn has_its_name(&self) -> bool {
        self.root.identity().is_ok_and(|held| identity(self.directory) == Some(held))
    }
}

/// The directory below the root that is read: what `..data` names where there is such a link, else the root itself.
fn base(root: &Root) -> PathBuf {
    root.read_link(CONFIG_MAP_LINK).map(PathBuf::from).unwrap_or_default()
}

/// The file's bytes; `None` when it is not the file that was listed.
fn read_file(root: &Root, base: &Path, listed: &Listed) -> Result<Option<Vec<u8>>, Errno> {
    let Ok(Place::Other { parent, name, .. }) = root.find(&base.join(&listed.name)) else { return Ok(None) };
    let (file, stat) = match root.open_file(parent.as_ref(), &name) {
        Ok(Some(opened)) => opened,
        Ok(None) | Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    if Stamp::of(&stat) != listed.stamp {
        return Ok(None);
    }
    let size = listed.stamp.size();
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let read = File::from(file).take(size + 1).read_to_end(&mut bytes);
    match read {
        Ok(length) if length as u64 == size => Ok(Some(bytes)),
        Ok(_) => Ok(None),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

/// The digest of everything read: length-prefixed, so that no two directories run together to the same bytes.
pub(crate) fn revision(sources: &[Source], faults: &[Fault]) -> Revision {
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for source in sources {
        field(source.name.as_bytes());
        field(&source.bytes);
    }
    for fault in faults {
        field(b"");
        field(fault.file.as_bytes());
        field(fault.kind.message().as_bytes());
    }
    Revision::new(hasher.finalize().into())
}

/// Files of the directory that are mounts of their own, as a `subPath` makes them; at most one look, for a warning.
pub(crate) fn mounted_files(directory: &Path, limits: &Limits) -> Vec<String> {
    let Ok(look) = Look::take(directory, limits) else { return Vec::new() };
    let is_mount = |listed: &&Listed| match look.root.find(&look.base.join(&listed.name)) {
        Ok(Place::Other { parent, name, .. }) => look.root.is_mount(parent.as_ref(), &name),
        _ => false,
    };
    look.listing.files.iter().filter(is_mount).map(|listed| listed.name.clone()).collect()
}

/// Which directory the path leads to at the moment.
pub(crate) fn identity(directory: &Path) -> Option<Identity> {
    Root::open(directory).and_then(|root| root.identity()).ok()
}

/// The parts of a path, first one last, as a stack of steps still to take.
fn steps(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests;
