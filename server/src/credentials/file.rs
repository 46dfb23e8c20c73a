//! One file with a credential in it, read with distrust: of what it is, of its size, of who may touch it.
//!
//! Invariant: no error quotes what is in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::config::Finding;

/// Bytes of one file; the certificates of all public authorities together are smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
const WRITABLE_BY_ALL: u32 = 0o002;
const ANYTHING_BY_ALL: u32 = 0o007;

/// Which file, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialFile {
    /// The setting that names it.
    pub(crate) setting: &'static str,
    pub(crate) path: PathBuf,
    /// Nobody but its owner and its group may see it.
    pub(crate) secret: bool,
}

impl CredentialFile {
    /// What anybody may read.
    pub(crate) fn public(setting: &'static str, path: &Option<PathBuf>) -> Option<Self> {
        path.clone().map(|path| Self { setting, path, secret: false })
    }

    /// What only its owner and its group may read.
    pub(crate) fn secret(setting: &'static str, path: &Option<PathBuf>) -> Option<Self> {
        path.clone().map(|path| Self { setting, path, secret: true })
    }

    /// What is wrong with it.
    pub(crate) fn finding(&self, what: impl std::fmt::Display) -> Finding {
        let message = format!("`{}` is `{}`: {what}", self.setting, self.path.display());
        Finding { settings: vec![self.setting], message }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(&self) -> Result<Vec<u8>, Finding> {
        let file = self.open().map_err(|error| self.finding(error))?;
        let metadata = file.metadata().map_err(|error| self.finding(error))?;
        if !metadata.is_file() {
            return Err(self.finding("it is not a regular file"));
        }
        let mode = metadata.permissions().mode() & 0o777;
        if self.secret && mode & ANYTHING_BY_ALL != 0 {
            return Err(self.finding(format!(
                "its mode is {mode:04o}, and a secret must be closed to everyone but its owner and its group, such as \
                 with 0640 or 0400"
            )));
        }
        if mode & WRITABLE_BY_ALL != 0 {
            return Err(self.finding(format!("its mode is {mode:04o}, and everyone can change it")));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| self.finding(error))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(self.finding(format!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }

    fn open(&self) -> io::Result<File> {
        // Without waiting, because a named pipe would wait for its writer.
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn file(path: &Path, secret: bool) -> CredentialFile {
        CredentialFile { setting: "tls_key", path: path.to_owned(), secret }
    }

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_is_closed_to_everyone_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "canary").unwrap();
        for (mode, secret, public) in [
            (0o400, true, true),
            (0o640, true, true),
            (0o660, true, true),
            (0o644, false, true),
            (0o601, false, true),
            (0o602, false, false),
        ] {
            with_mode(&path, mode);
            assert_eq!(file(&path, true).read().is_ok(), secret, "{mode:o}");
            assert_eq!(file(&path, false).read().is_ok(), public, "{mode:o}");
        }
        let sentence = file(&path, true).read().unwrap_err().message;
        assert!(sentence.starts_with("`tls_key` is `") && sentence.contains("0602"), "{sentence}");
        assert!(!sentence.contains("canary"));
    }

    #[test]
    fn only_regular_files_of_a_sane_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        assert!(
            file(directory.path(), false).read().unwrap_err().message.ends_with("it is not a regular file")
        );
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(file(&pipe, false).read().unwrap_err().message.ends_with("it is not a regular file"));
        let long = directory.path().join("long");
        fs::write(&long, vec![b'a'; (1 << 20) + 1]).unwrap();
        assert!(file(&long, false).read().unwrap_err().message.contains("longer than"));
        assert!(file(&directory.path().join("none"), false).read().is_err());
    }
}
