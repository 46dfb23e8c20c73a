//! Where lines go: a file that is rotated, a named pipe or standard output.
//!
//! Invariant (WHOLE-LINES): after an error a regular file ends with a whole line, or what was torn is taken up again
//! exactly where it ended.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::rotation::{self, Rotation};

/// Longest last line that is looked for at the end of a file.
const LAST_LINE_BYTES_MAX: u64 = 1 << 20;
/// How long a file that could not be rotated grows before that is tried, and told of, again.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);
/// How long a consumer that is not ready is left alone.
const NOT_READY: Duration = Duration::from_millis(2);

/// What bytes are written to. `File` is the one of real life.
pub(super) trait Medium: fmt::Debug + Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn length(&self) -> io::Result<u64>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    /// Device and inode.
    fn identity(&self) -> io::Result<(u64, u64)>;
}

impl Medium for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = self.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

/// A medium, freshly opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) medium: Box<dyn Medium>,
    /// A regular file: it can be cut, synced and rotated.
    pub(super) regular: bool,
    /// Bytes in it.
    pub(super) length: u64,
    /// It ended in the middle of a line, which now has an end.
    pub(super) torn: bool,
    /// The hash of its last line.
    pub(super) last_hash: Option<[u8; 32]>,
}

/// How a path is opened; exchanged in tests.
pub(super) type Opener = Box<dyn FnMut(Option<&Path>) -> io::Result<Opened> + Send>;

/// Where lines go.
pub(super) struct Destination {
    /// None is standard output.
    path: Option<PathBuf>,
    opener: Opener,
    open: Option<Opened>,
    opened_at: Instant,
    rotation: Rotation,
    rotations: u64,
    /// A rotation failed, and the next is not tried before.
    rotate_after: Option<Instant>,
    /// Counts openings, so that a line that was torn is not continued in another file.
    openings: u64,
    /// Bytes of the open file that are on the disk: what it held when it was opened, and what was synced since.
    kept: u64,
    /// A file was let go of and could not be synced; the next sync says so, because it stands for what is in that one too.
    unsynced: Option<io::Error>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("path", &self.path)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// Bytes taken before the error. For a regular file they end with a whole line unless it could not be cut.
#[derive(Debug)]
pub(super) struct Interrupted {
    pub(super) written: usize,
    pub(super) error: io::Error,
}

/// What an opening found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) torn: bool,
    pub(super) last_hash: Option<[u8; 32]>,
}

impl Destination {
    pub(super) fn new(path: Option<PathBuf>, rotation: Rotation, opener: Opener) -> Self {
        let opened_at = Instant::now();
        Self {
            path,
            opener,
            open: None,
            opened_at,
            rotation,
            rotations: 0,
            rotate_after: None,
            openings: 0,
            kept: 0,
            unsynced: None,
        }
    }

    /// Opens it, or does nothing when it is open.
    pub(super) fn open(&mut self) -> io::Result<Option<Found>> {
        if self.open.is_some() {
            return Ok(None);
        }
        let opened = (self.opener)(self.path.as_deref())?;
        let mut found = Found { torn: opened.torn, last_hash: opened.last_hash };
        if opened.length == 0
            && let Some(path) = &self.path
        {
            // A name that is not on the disk is a file that is not on the disk.
            sync_directory(path);
            found.last_hash = rotation::newest(path)
                .ok()
                .flatten()
                .and_then(|newest| hash_of_last_line(&newest).ok().flatten());
        }
        self.openings += 1;
        self.opened_at = Instant::now();
        self.kept = opened.length;
        self.open = Some(opened);
        Ok(Some(found))
    }

    pub(super) fn openings(&self) -> u64 {
        self.openings
    }

    pub(super) fn rotations(&self) -> u64 {
        self.rotations
    }

    /// Lets go of it; the next use opens the path anew.
    pub(super) fn let_go(&mut self) {
        if let Some(mut opened) = self.open.take()
            && opened.regular
            && let Err(error) = opened.medium.sync()
        {
            tracing::error!(%error, "the audit file that was let go of could not be synced");
            self.unsynced = Some(error);
        }
    }

    /// Lets go when the path names another file than the one that is open, or none: it was moved, or deleted.
    pub(super) fn follow_path(&mut self) {
        let (Some(path), Some(opened)) = (&self.path, &self.open) else { return };
        let Ok(ours) = opened.medium.identity() else { return };
        let named = fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        if named.ok() != Some(ours) {
            tracing::info!(path = %path.display(), "the audit file was moved; opening it anew");
            self.let_go();
        }
    }

    /// Rotates when `more` bytes would make the file too large, or when it is too old.
    pub(super) fn make_way(&mut self, more: usize) {
        let (Some(path), Some(opened)) = (self.path.clone(), &self.open) else { return };
        let Rotation { bytes, age, .. } = self.rotation;
        let full = bytes > 0 && opened.length > 0 && opened.length.saturating_add(more as u64) > bytes;
        let old = age.is_some_and(|age| opened.length > 0 && self.opened_at.elapsed() >= age);
        let rests = self.rotate_after.is_some_and(|after| Instant::now() < after);
        if opened.regular && (full || old) && !rests && self.set_aside(&path) {
            rotation::prune(&path, &self.rotation);
        }
    }

    /// Empties the file when nothing in it is on the disk; all of it must be told of as lost. Whether it did. A disk that
    /// fails for a while so costs one file and not one for every try, for each of which an older one would have to go.
    pub(super) fn empty_now(&mut self) -> bool {
        let Some(opened) = &mut self.open else { return false };
        if self.kept > 0 || !opened.regular || opened.medium.cut(0).is_err() {
            return false;
        }
        self.open = None;
        true
    }

    /// Gives the file another name, so that the next use begins a new one. Nothing older goes for it.
    pub(super) fn set_aside_now(&mut self) {
        if let Some(path) = self.path.clone() {
            self.set_aside(&path);
        }
    }

    /// Whether it has another name now.
    fn set_aside(&mut self, path: &Path) -> bool {
        let renamed = rotation::rename(path);
        match &renamed {
            Ok(()) => {
                self.let_go();
                self.rotations += 1;
            }
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "the audit file cannot be rotated and grows on");
                self.rotate_after = Instant::now().checked_add(ROTATE_AGAIN);
            }
        }
        renamed.is_ok()
    }

    /// Writes whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Interrupted> {
        let Some(opened) = &mut self.open else {
            return Err(Interrupted { written: 0, error: io::Error::from(ErrorKind::NotConnected) });
        };
        let mut rest = lines;
        while !rest.is_empty() {
            match opened.medium.write(rest) {
                Ok(0) => return Err(opened.interrupted(lines, rest, ErrorKind::WriteZero.into())),
                Ok(count) => {
                    opened.length += count as u64;
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(NOT_READY),
                Err(error) => return Err(opened.interrupted(lines, rest, error)),
            }
        }
        Ok(())
    }

    /// Puts what was written on the disk; pipes have none.
    ///
    /// # Errors
    /// When what was written since the last time is not all there, in whichever file it is.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(error) = self.unsynced.take() {
            return Err(error);
        }
        match &mut self.open {
            Some(opened) if opened.regular => {
                opened.medium.sync()?;
                self.kept = opened.length;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Opened {
    /// Cuts what was written of the last line.
    fn interrupted(&mut self, lines: &[u8], rest: &[u8], error: io::Error) -> Interrupted {
        let written = lines.len() - rest.len();
        let done = lines.get(..written).unwrap_or_default();
        let whole = memchr::memrchr(b'\n', done).map_or(0, |at| at + 1);
        let torn = (written - whole) as u64;
        if torn == 0 || !self.regular {
            return Interrupted { written, error };
        }
        // By its own length: somebody else may have cut it too.
        let cut = self.medium.length().and_then(|length| {
            let length = length.saturating_sub(torn);
            self.medium.cut(length)?;
            Ok(length)
        });
        match cut {
            Ok(length) => {
                self.length = length;
                Interrupted { written: whole, error }
            }
            Err(failure) => {
                tracing::error!(error = %failure, "a torn audit record could not be cut; it is continued later");
                Interrupted { written, error }
            }
        }
    }
}

/// Opens a path, or standard output when there is none.
pub(super) fn open(path: Option<&Path>) -> io::Result<Opened> {
    let Some(path) = path else { return standard_output() };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_fifo() => named_pipe(path),
        Ok(metadata) if !metadata.is_file() => Err(unfit()),
        _ => regular_file(path),
    }
}

fn unfit() -> io::Error {
    io::Error::other("is neither a regular file nor a named pipe (a link is not followed either)")
}

/// Whether [`open`] can succeed on a path, as far as a look tells that changes nothing.
pub(super) fn look(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() || metadata.file_type().is_fifo() => {
            Ok(rustix::fs::access(path, Access::WRITE_OK)?)
        }
        Ok(_) => Err(unfit()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(rustix::fs::access(parent(path), Access::WRITE_OK | Access::EXEC_OK)?)
        }
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn standard_output() -> io::Result<Opened> {
    let descriptor = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let file = File::from(descriptor);
    let regular = file.metadata()?.is_file();
    // A regular file behind it belongs to whoever started the process: it is not cut.
    let length = if regular { file.metadata()?.len() } else { 0 };
    Ok(Opened { medium: Box::new(file), regular: false, length, torn: false, last_hash: None })
}

fn named_pipe(path: &Path) -> io::Result<Opened> {
    // Without waiting for a reader; writing then waits like on any pipe.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NXIO) => return Err(io::Error::other("is a named pipe that nobody reads")),
        opened => File::from(opened?),
    };
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("is no longer a named pipe"));
    }
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(Opened { medium: Box::new(file), regular: false, length: 0, torn: false, last_hash: None })
}

fn regular_file(path: &Path) -> io::Result<Opened> {
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    // A file system without locks is no reason not to write.
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Err(io::Error::other("another process writes it"));
    }
    let mut length = metadata.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let torn = last != [b'\n'];
    if torn {
        file.write_all(b"\n")?;
        length += 1;
    }
    let last_hash = if length > 0 { last_line_hash(&mut file, length)? } else { None };
    Ok(Opened { medium: Box::new(file), regular: true, length, torn, last_hash })
}

/// The hash of a file's last line without its end.
fn hash_of_last_line(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    last_line_hash(&mut file, length)
}

fn last_line_hash(file: &mut File, length: u64) -> io::Result<Option<[u8; 32]>> {
    let from = length.saturating_sub(LAST_LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(length - from).read_to_end(&mut tail)?;
    let Some(tail) = tail.strip_suffix(b"\n") else { return Ok(None) };
    let line = memchr::memrchr(b'\n', tail).map_or(tail, |at| tail.get(at + 1..).unwrap_or_default());
    Ok(Some(blake3::hash(line).into()))
}

fn sync_directory(path: &Path) {
    let parent = parent(path);
    if let Err(error) = File::open(parent).and_then(|directory| directory.sync_all()) {
        tracing::warn!(%error, path = %parent.display(), "the directory of the audit file cannot be synced");
    }
}

#[cfg(test)]
mod tests;
