//! A Unix socket file: made under a private name, put in place by a rename, taken away at the end.
//!
//! Invariant: the socket is never there with other permissions than its access says, and a living process's socket is
//! never replaced.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::BindError;
use crate::config::UdsAccess;

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
    pub(crate) async fn bind(path: &Path, access: UdsAccess) -> Result<Self, BindError> {
        let failed = |error| BindError::Unix { path: path.to_owned(), error };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mode = fs::metadata(parent).map_err(failed)?.permissions().mode();
        let open = mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0;
        if open && access == UdsAccess::Group {
            return Err(BindError::OpenDirectory { path: path.to_owned() });
        }
        refuse_living(path).await?;

        let private = parent.join(format!(".portcullis-{}", std::process::id()));
        // In a container every process has the same number: what one that was killed left there is ours.
        let _ = fs::remove_dir_all(&private);
        fs::DirBuilder::new().mode(0o700).create(&private).map_err(failed)?;
        let bound = bind_in(&private, path, mode_for(access));
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

fn mode_for(access: UdsAccess) -> u32 {
    match access {
        UdsAccess::Group => 0o660,
        UdsAccess::All => 0o666,
    }
}

fn bind_in(private: &Path, path: &Path, mode: u32) -> io::Result<(UnixListener, (u64, u64))> {
    let made = private.join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(mode))?;
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

        let first = SocketFile::bind(&path, UdsAccess::Group).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).await.unwrap();
        assert!(matches!(SocketFile::bind(&path, UdsAccess::Group).await, Err(BindError::InUse { .. })));
        drop(first);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn what_a_killed_process_left_does_not_stop_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let private = directory.path().join(format!(".portcullis-{}", std::process::id()));
        fs::create_dir(&private).unwrap();
        drop(std::os::unix::net::UnixListener::bind(private.join("s")).unwrap());
        SocketFile::bind(&directory.path().join("socket"), UdsAccess::Group).await.unwrap();
        assert!(!private.exists());
    }

    #[tokio::test]
    async fn for_all_the_directory_may_be_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let _socket = SocketFile::bind(&path, UdsAccess::All).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    }

    #[tokio::test]
    async fn other_files_and_open_directories_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        fs::write(&path, "text").unwrap();
        assert!(matches!(SocketFile::bind(&path, UdsAccess::Group).await, Err(BindError::NotASocket { .. })));
        fs::remove_file(&path).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            SocketFile::bind(&path, UdsAccess::Group).await,
            Err(BindError::OpenDirectory { .. })
        ));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        SocketFile::bind(&path, UdsAccess::Group).await.unwrap();
    }
}
