//! Who else could change the policies: modes and owners of what is read.
//!
//! One finding for each kind and not one for each file; a directory of ten thousand has usually one mistake in it.
//! Ancestors of the policy directory are not looked at.

use rustix::fs::Stat;

use super::fault::{Fault, FaultKind};

/// Others may write.
const OTHERS_WRITE: u32 = 0o002;

/// What was noticed so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exposure {
    writable: Option<(String, usize)>,
    foreign: Option<(String, u32, usize)>,
}

impl Exposure {
    /// Looks at one file or folder.
    pub(super) fn note(&mut self, path: &str, stat: &Stat) {
        if stat.st_mode & OTHERS_WRITE != 0 {
            match &mut self.writable {
                Some((first, others)) => count(first, others, path),
                none => *none = Some((path.to_owned(), 0)),
            }
        }
        if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
            match &mut self.foreign {
                Some((first, _, others)) => count(first, others, path),
                none => *none = Some((path.to_owned(), stat.st_uid, 0)),
            }
        }
    }

    /// The findings: faults where strictness is asked for, warnings elsewhere.
    pub(crate) fn faults(&self) -> impl Iterator<Item = Fault> {
        let writable =
            self.writable.iter().map(|(path, others)| Fault::new(path, FaultKind::Writable(*others)));
        let foreign = self.foreign.iter();
        writable.chain(foreign.map(|(path, uid, others)| Fault::new(path, FaultKind::Foreign(*uid, *others))))
    }
}

/// One more; the first by name is the one that is shown, whatever order the file system lists them in.
fn count(first: &mut String, others: &mut usize, path: &str) {
    *others += 1;
    if path < first.as_str() {
        path.clone_into(first);
    }
}
