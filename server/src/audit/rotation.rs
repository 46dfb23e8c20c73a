//! Old audit files: `audit.jsonl` becomes `audit.jsonl.000001`, then `.000002`, so that names sort by age whatever the
//! clock does.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When a file is set aside, and how many that were are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rotation {
    /// Size beyond which a new file is begun; 0 is never.
    pub(super) bytes: u64,
    /// Age at which a new file is begun.
    pub(super) age: Option<Duration>,
    /// Files kept beside the current one; 0 is all.
    pub(super) files_max: u64,
    /// Bytes of all kept files; 0 is any.
    pub(super) total_bytes_max: u64,
}

/// The files that were set aside, oldest first; none where there is no directory.
///
/// # Errors
/// When the directory cannot be read to its end: no list is better than one without the newest.
pub(super) fn set_aside(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let entries = match fs::read_dir(directory(path)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        found.extend(number(name, &entry.file_name()).map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

/// The number in the name of a file that was set aside from the one called `name`.
fn number(name: &str, found: &OsStr) -> Option<u64> {
    let digits = found.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
    let plain = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

pub(super) fn newest(path: &Path) -> io::Result<Option<PathBuf>> {
    Ok(set_aside(path)?.pop().map(|(_, path)| path))
}

/// Gives the file the next number.
///
/// # Errors
/// When the numbers that are taken cannot be told, or none is left; nothing is replaced.
pub(super) fn rename(path: &Path) -> io::Result<()> {
    let last = set_aside(path)?.last().map_or(0, |(number, _)| *number);
    let number = last.checked_add(1).ok_or_else(|| io::Error::other("no number is left for it"))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:06}"));
    fs::rename(path, name)
}

/// Deletes the oldest files beyond the bounds.
pub(super) fn prune(path: &Path, rotation: &Rotation) {
    let Rotation { files_max, total_bytes_max, .. } = *rotation;
    let mut kept = match set_aside(path) {
        Ok(kept) => kept,
        Err(error) => {
            return tracing::error!(%error, path = %path.display(), "old audit files cannot be counted, and none goes");
        }
    };
    let size = |path: &Path| fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
    let mut total: u64 = kept.iter().map(|(_, path)| size(path)).sum();
    let mut count = kept.len() as u64;
    kept.reverse();
    while let Some((_, oldest)) = kept.pop() {
        let too_many = files_max > 0 && count > files_max;
        let too_much = total_bytes_max > 0 && total > total_bytes_max;
        if !too_many && !too_much {
            return;
        }
        let bytes = size(&oldest);
        match fs::remove_file(&oldest) {
            Ok(()) => {
                tracing::info!(path = %oldest.display(), "the oldest audit file was deleted to keep within bounds")
            }
            Err(error) => {
                tracing::error!(%error, path = %oldest.display(), "an old audit file cannot be deleted")
            }
        }
        total = total.saturating_sub(bytes);
        count -= 1;
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
