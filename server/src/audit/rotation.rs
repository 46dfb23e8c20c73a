//! Old audit files: `audit.jsonl` becomes `audit.jsonl.000001`, then `.000002`, so that names sort by age whatever the
//! clock does.

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

/// The files that were set aside, oldest first.
pub(super) fn set_aside(path: &Path) -> Vec<(u64, PathBuf)> {
    let (Some(name), parent) = (path.file_name().and_then(|name| name.to_str()), directory(path)) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.strip_prefix(name)?.strip_prefix('.')?.to_owned();
            let digits = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| Some((number.parse().ok()?, entry.path())))?
        })
        .collect();
    found.sort_unstable();
    found
}

pub(super) fn newest(path: &Path) -> Option<PathBuf> {
    set_aside(path).pop().map(|(_, path)| path)
}

pub(super) fn rename(path: &Path) -> io::Result<()> {
    let number = set_aside(path).last().map_or(0, |(number, _)| *number) + 1;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:06}"));
    fs::rename(path, name)
}

/// Deletes the oldest files beyond the bounds.
pub(super) fn prune(path: &Path, rotation: &Rotation) {
    let Rotation { files_max, total_bytes_max, .. } = *rotation;
    let mut kept = set_aside(path);
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
