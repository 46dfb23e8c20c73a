//! Lines out of files, standard input and files that grow.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use portcullis_server::audit::verify::older_files;

use crate::args::AuditFiles;

/// Bytes of one line that are kept; the rest of a longer one is thrown away, and so it is no record.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The files to read, in order.
pub(super) fn sources(asked: &AuditFiles) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in &asked.files {
        if asked.rotated {
            found.extend(set_aside(file)?);
        }
        found.push(file.clone());
    }
    Ok(found)
}

/// Whole lines, one by one, in a buffer that is used again.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    name: String,
}

impl Lines {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let read: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot read {name}"))?)
        };
        Ok(Self { reader: BufReader::with_capacity(1 << 16, read), line: Vec::new(), name })
    }

    /// The next line that is not blank, without its end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let ended = read_line(&mut self.reader, &mut self.line)
                .with_context(|| format!("cannot read {}", self.name))?;
            let blank = self.line.iter().all(u8::is_ascii_whitespace);
            if !blank {
                return Ok(Some(&self.line));
            }
            if !ended {
                return Ok(None);
            }
        }
    }
}

/// Appends up to the next end of a line. Whether there was one.
fn read_line(reader: &mut BufReader<impl Read>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The lines of a file that grows and is set aside.
pub(super) struct Follower {
    path: PathBuf,
    reader: BufReader<File>,
    inode: u64,
    /// The newest file that had been set aside when this one was opened; what comes after this one stands behind it.
    older: Option<PathBuf>,
    line: Vec<u8>,
    /// What was returned before is to be cleared first.
    whole: bool,
}

impl Follower {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let (file, inode) = opened(path)?;
        // Listed after it was opened: when it was set aside in between, it stands in the list itself.
        let older = set_aside(path)?.pop();
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::new(file),
            inode,
            older,
            line: Vec::new(),
            whole: true,
        })
    }

    /// The next whole line; none while there is none yet. An unfinished one is kept for later.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.whole) {
            self.line.clear();
        }
        self.whole = read_line(&mut self.reader, &mut self.line)?;
        Ok(self.whole.then_some(&self.line))
    }

    /// Goes on to the next file when this one was set aside and is read to its end: to the one that was set aside after it,
    /// or to the current one.
    pub(super) fn moved_on(&mut self) -> anyhow::Result<bool> {
        let Ok(metadata) = fs::metadata(&self.path) else { return Ok(false) };
        if metadata.ino() == self.inode {
            return Ok(false);
        }
        // What was written between the last look and the rotation is still there.
        if !self.reader.fill_buf()?.is_empty() {
            return Ok(true);
        }
        // Opened before the list is made, so that it cannot become another than the one after this unnoticed.
        let current = Self::open(&self.path)?;
        *self = match self.next_set_aside()? {
            Some(next) => {
                let (file, inode) = opened(&next)?;
                Self { reader: BufReader::new(file), inode, older: Some(next), ..current }
            }
            None => current,
        };
        Ok(true)
    }

    /// The file that was set aside after this one, if it is still there.
    fn next_set_aside(&self) -> anyhow::Result<Option<PathBuf>> {
        let found = set_aside(&self.path)?;
        let known = found.iter().position(|path| Some(path) == self.older.as_ref()).map_or(0, |at| at + 1);
        let is_this = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.ino() == self.inode);
        Ok(found.into_iter().skip(known).find(|path| !is_this(path)))
    }
}

fn opened(path: &Path) -> anyhow::Result<(File, u64)> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let inode = file.metadata()?.ino();
    Ok((file, inode))
}

/// The files that were set aside from one, oldest first.
fn set_aside(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    older_files(path).with_context(|| format!("cannot read the directory of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn lines_end_at_newlines_and_are_bounded() {
        let long = "x".repeat(LINE_BYTES_MAX + 10);
        let text = format!("a\n\nbb\n{long}\nlast");
        let mut reader = BufReader::with_capacity(7, Cursor::new(text));
        let mut found = Vec::new();
        loop {
            let mut line = Vec::new();
            let ended = read_line(&mut reader, &mut line).unwrap();
            found.push((line.len(), ended));
            if !ended {
                break;
            }
        }
        assert_eq!(found, [(1, true), (0, true), (2, true), (LINE_BYTES_MAX, true), (4, false)]);
    }
    #[test]
    fn no_file_is_passed_over_that_was_set_aside_between_two_looks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let aside = |number: u64| directory.path().join(format!("audit.jsonl.{number:06}"));
        let rotate = |number| {
            fs::rename(&path, aside(number)).unwrap();
            fs::write(&path, format!("after {number}\n")).unwrap();
        };
        fs::write(aside(3), "of another day\n").unwrap();
        fs::write(&path, "first\n").unwrap();
        let mut follower = Follower::open(&path).unwrap();
        let mut read = || {
            let mut lines = Vec::new();
            loop {
                while let Some(line) = follower.next().unwrap() {
                    lines.push(String::from_utf8(line.to_vec()).unwrap());
                }
                if !follower.moved_on().unwrap() {
                    return lines;
                }
            }
        };
        (4..=6).for_each(rotate);
        assert_eq!(read(), ["first", "after 4", "after 5", "after 6"]);
        (7..=9).for_each(rotate);
        // What is kept has a bound.
        fs::remove_file(aside(3)).unwrap();
        fs::remove_file(aside(7)).unwrap();
        assert_eq!(read(), ["after 7", "after 8", "after 9"]);
        fs::rename(&path, directory.path().join("audit.jsonl.1")).unwrap();
        fs::write(&path, "after another's rotation\n").unwrap();
        assert_eq!(read(), ["after another's rotation"]);
    }
}
