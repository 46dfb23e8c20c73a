//! Several files as they were at one time.

use blake3::{Hash, Hasher};

use super::file::CredentialFile;
use crate::config::Finding;

/// What files held, or why they could not be read.
pub(crate) struct Reading {
    files: Vec<(CredentialFile, Result<Vec<u8>, Finding>)>,
    digest: Hash,
}

impl Reading {
    /// Reads all of them.
    pub(crate) fn of(files: &[CredentialFile]) -> Self {
        let files: Vec<_> = files.iter().map(|file| (file.clone(), file.read())).collect();
        let digest = digest(files.iter());
        Self { files, digest }
    }

    /// Different when anything that was read is.
    pub(crate) fn digest(&self) -> Hash {
        self.digest
    }

    /// The same of the files of these settings.
    pub(crate) fn digest_of(&self, settings: &[&str]) -> Hash {
        digest(self.files.iter().filter(|(file, _)| settings.contains(&file.setting)))
    }

    /// What the file of a setting holds; none when there is no such file, or when it could not be read, which is then
    /// among `wrong`.
    pub(crate) fn text(&self, setting: &str, wrong: &mut Vec<Finding>) -> Option<(&CredentialFile, &[u8])> {
        let (file, read) = self.files.iter().find(|(file, _)| file.setting == setting)?;
        match read {
            Ok(bytes) => Some((file, bytes)),
            Err(finding) => {
                wrong.push(finding.clone());
                None
            }
        }
    }
}

fn digest<'a>(files: impl Iterator<Item = &'a (CredentialFile, Result<Vec<u8>, Finding>)>) -> Hash {
    let mut hasher = Hasher::new();
    for (_, read) in files {
        let (kind, bytes) = match read {
            Ok(bytes) => (0, bytes.as_slice()),
            Err(finding) => (1, finding.message.as_bytes()),
        };
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    hasher.finalize()
}
