//! A Unix socket file: made under a private name, put in place by a rename, taken away at the end.
//!
//! Invariant: the socket is never there with other permissions than 0660, and a living process's socket is never
//! replaced.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::BindError;

const MODE: u32 = 0o660;
const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o002;

/// A bound socket and the file it answers on; the file goes when this goes.
#[derive(Debug)]
pub(crate) struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that only our own file is removed.
    identity: (u64, u64),
}

impl SocketFile {
    pub(crate) async fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |error| BindError::Unix { path: path.to_owned(), error };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mode = fs::metadata(parent).map_err(failed)?.permissions().mode();
        if mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0 {
            return Err(BindError::OpenDirectory { path: path.to_owned() });
        }
        refuse_living(path).await?;

        let private = parent.join(format!(".portcullis-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&private).map_err(failed)?;
        let bound = bind_in(&private, path);
        // Holds nothing once the socket has moved; a leftover is only an empty directory.
        let _ = fs::remove_dir_all(&private);
        let (listener, identity) = bound.map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), identity })
    }

    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // Nothing is left to do about a failure: the next start replaces a dead socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_in(private: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let made = private.join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(MODE))?;
    let metadata = fs::symlink_metadata(&made)?;
    fs::rename(&made, path)?;
    Ok((listener, (metadata.dev(), metadata.ino())))
}

async fn refuse_living(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::Unix { path: path.to_owned(), error }),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(())
        }
        Err(error) => Err(BindError::Unix { path: path.to_owned(), error }),
        Ok(_) => Err(BindError::InUse { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead socket file stays behind");

        let first = SocketFile::bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        UnixStream::connect(&path).await.unwrap();
        assert!(matches!(SocketFile::bind(&path).await, Err(BindError::InUse { .. })));
        drop(first);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn other_files_and_open_directories_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        fs::write(&path, "text").unwrap();
        assert!(matches!(SocketFile::bind(&path).await, Err(BindError::NotASocket { .. })));
        fs::remove_file(&path).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(SocketFile::bind(&path).await, Err(BindError::OpenDirectory { .. })));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        SocketFile::bind(&path).await.unwrap();
    }
}
