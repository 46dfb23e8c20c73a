//! What stands in the way of reading a policy directory, in words.
//!
//! A fault is a value; it becomes an engine diagnostic so that a reader sees one list. Invariant: the text of a fault can
//! stand in a log line whatever the file is called.

use std::path::Path;

use portcullis_engine::{Code, Diagnostic, Severity};
use rustix::io::Errno;

use crate::layout::{CONFIG_MAP_LINK, escaped};

/// One thing that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Path below the root, or the root itself.
    pub(crate) file: String,
    /// Why.
    pub(crate) kind: FaultKind,
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The root is not there.
    Missing,
    /// The root is something else.
    NotADirectory,
    /// The directory kept changing.
    Unstable,
    /// The operating system says no.
    Io(Errno),
    /// A link leads out of the root.
    Escapes,
    /// A link leads to itself or to a directory above.
    Loop,
    /// A link leads nowhere.
    Dangling,
    /// A FIFO, a socket, a device.
    NotAFile,
    /// The name is not UTF-8 or could forge a log line.
    Name,
    /// More bytes than this in one file.
    TooLarge(u64),
    /// More bytes than this in all files.
    TooLargeTogether(u64),
    /// More files than this.
    TooManyFiles(usize),
    /// More names than this.
    TooManyEntries(usize),
    /// Deeper than this.
    TooDeep(usize),
    /// Every user may write to it, and to so many others.
    Writable(usize),
    /// It belongs to this user, who is neither root nor the one this process runs as, and so do so many others.
    Foreign(u32, usize),
}

impl Fault {
    pub(crate) fn new(file: &str, kind: FaultKind) -> Self {
        Self { file: file.to_owned(), kind }
    }

    /// Faults in the order they are shown: by file, then by text.
    pub(crate) fn sort(faults: &mut [Self]) {
        faults.sort_by_cached_key(|fault| (fault.file.clone(), fault.kind.message()));
    }

    /// A fault of the whole directory.
    pub(crate) fn of_root(directory: &Path, kind: FaultKind) -> Self {
        let kind = match kind {
            FaultKind::Io(Errno::NOENT) => FaultKind::Missing,
            FaultKind::Io(Errno::NOTDIR) => FaultKind::NotADirectory,
            other => other,
        };
        Self { file: escape_control(&directory.to_string_lossy()), kind }
    }

    /// A fault of a name that cannot be shown as it is.
    pub(crate) fn of_name(prefix: &str, name: &[u8]) -> Self {
        Self { file: format!("{prefix}{}", escaped(name)), kind: FaultKind::Name }
    }

    /// The same as an engine diagnostic that refuses the directory.
    pub(crate) fn diagnostic(&self) -> Diagnostic {
        self.graded(Severity::Error)
    }

    /// The same as an engine diagnostic of this severity.
    pub(crate) fn graded(&self, severity: Severity) -> Diagnostic {
        let found = Diagnostic::of_file(self.kind.code(), severity, self.file.clone(), self.kind.message());
        match self.kind.help() {
            Some(help) => found.with_help(help),
            None => found,
        }
    }
}

impl FaultKind {
    /// One sentence.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Missing => "the policy directory does not exist".to_owned(),
            Self::NotADirectory => "the policy directory is not a directory".to_owned(),
            Self::Unstable => "the policy directory kept changing while it was read".to_owned(),
            Self::Io(errno) => format!("cannot be read: {}", io_text(*errno)),
            Self::Escapes => "the link leads out of the policy directory".to_owned(),
            Self::Loop => "the link leads back to itself or to a directory above it".to_owned(),
            Self::Dangling => "the link leads to nothing".to_owned(),
            Self::NotAFile => "not a regular file".to_owned(),
            Self::Name => "the file name is not printable UTF-8".to_owned(),
            Self::TooLarge(max) => format!("the file is larger than {max} bytes"),
            Self::TooLargeTogether(max) => format!("the policy files together are larger than {max} bytes"),
            Self::TooManyFiles(max) => format!("there are more than {max} policy files"),
            Self::TooManyEntries(max) => format!("there are more than {max} names in the policy directory"),
            Self::TooDeep(max) => format!("the directory is more than {max} levels deep"),
            Self::Writable(others) => format!("every user may write to it{}", and_others(*others)),
            Self::Foreign(uid, others) => {
                format!("it belongs to user {uid}, who may change the policies{}", and_others(*others))
            }
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            Self::Unstable => "write to a temporary name and rename, or swap the whole directory".to_owned(),
            Self::Escapes => "links must be relative and stay beneath the policy directory".to_owned(),
            Self::Dangling => {
                format!("remove the link (a mount's own `{CONFIG_MAP_LINK}` must name a directory)")
            }
            Self::Writable(_) => "take the write permission of others away (`chmod -R o-w`)".to_owned(),
            Self::Foreign(..) => {
                "files and folders should belong to root or to the user of this process".to_owned()
            }
            Self::NotAFile => "a `*.json` name must be a regular file or a link to one".to_owned(),
            _ => return None,
        };
        Some(text)
    }

    fn code(&self) -> Code {
        match self {
            Self::Missing | Self::NotADirectory | Self::Unstable | Self::Io(_) => Code::UnreadableFile,
            Self::Dangling | Self::Name | Self::TooDeep(_) => Code::UnreadableFile,
            Self::Escapes => Code::SymlinkOutside,
            Self::Loop => Code::SymlinkLoop,
            Self::NotAFile => Code::NotARegularFile,
            Self::TooLarge(_) => Code::FileTooLarge,
            Self::TooLargeTogether(_) => Code::TooManyBytes,
            Self::TooManyFiles(_) | Self::TooManyEntries(_) => Code::TooManyFiles,
            Self::Writable(_) | Self::Foreign(..) => Code::LoosePermissions,
        }
    }
}

impl From<Errno> for FaultKind {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::LOOP => Self::Loop,
            other => Self::Io(other),
        }
    }
}

fn and_others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (the same holds for 1 more)".to_owned(),
        more => format!(" (the same holds for {more} more)"),
    }
}

/// The operating system's words in lower case, without the number.
fn io_text(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    words.to_lowercase()
}

fn escape_control(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
