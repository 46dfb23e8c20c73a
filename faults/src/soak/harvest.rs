//! What becomes of the audit files: each that was set aside is verified by the program itself, counted and deleted, so that
//! the length of a run is not bounded by the disk.
//!
//! Two looks are held together by the numbers of the records; a chain of hashes is followed within each look.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::lab::Lab;
use crate::records::{files, verify};

const LOOK: Duration = Duration::from_millis(500);

/// The thread; it has to be ended.
pub(super) struct Harvest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Trail>>,
}

/// What all files together held.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) records: u64,
    pub(super) decisions: u64,
    pub(super) files: u64,
    /// What `audit verify` found, and numbers that are missing or doubled between two looks.
    pub(super) findings: u64,
    pub(super) missing: u64,
    pub(super) first: Option<String>,
    last_sequence: u64,
}

impl Harvest {
    pub(super) fn start(lab: &Lab, file: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (lab, file, stopped) = (lab.clone(), file.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut trail = Trail::default();
            while !stopped.load(Ordering::Acquire) {
                std::thread::sleep(LOOK);
                let mut old = set_aside(&file)?;
                // The newest is left where it is: the next one takes its number from it.
                old.pop();
                trail.take(&lab, &old)?;
            }
            let mut all = set_aside(&file)?;
            all.push(file);
            trail.take(&lab, &all)?;
            Ok(trail)
        });
        Self { stop, thread }
    }

    /// When the process has ended: everything that is left as well.
    pub(super) fn end(self) -> anyhow::Result<Trail> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow::anyhow!("the harvest broke"))?
    }
}

/// Files that are not written to any more, the oldest first.
fn set_aside(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = files(file)?;
    found.retain(|other| other != file);
    found.sort();
    Ok(found)
}

impl Trail {
    fn take(&mut self, lab: &Lab, files: &[PathBuf]) -> anyhow::Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let report = verify(lab, files)?;
        self.files += files.len() as u64;
        self.records += report.number("Lines");
        self.decisions += report.number("Decisions");
        self.findings += report.number("FindingsCount");
        self.missing += report.number("Missing") + report.number("DeclaredLost");
        let found = report.0.get("Findings").and_then(|findings| findings.get(0));
        if let Some(message) = found.and_then(|found| found.get("Message")).and_then(Value::as_str) {
            self.first.get_or_insert_with(|| message.to_owned());
        }
        let processes = report.0.get("Processes").and_then(Value::as_array);
        for process in processes.into_iter().flatten() {
            let number = |name| process.get(name).and_then(Value::as_u64).unwrap_or_default();
            self.follows(number("FirstSequence"));
            self.last_sequence = number("LastSequence");
        }
        for file in files {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    fn follows(&mut self, first: u64) {
        let expected = self.last_sequence + 1;
        if first != expected {
            self.findings += 1;
            self.missing += first.saturating_sub(expected);
            self.first.get_or_insert_with(|| format!("record {first} where {expected} is to come"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_must_go_on_from_one_look_to_the_next() {
        let mut trail = Trail::default();
        trail.follows(1);
        trail.last_sequence = 10;
        trail.follows(11);
        assert_eq!((trail.findings, trail.missing), (0, 0));
        trail.follows(14);
        assert_eq!((trail.findings, trail.missing), (1, 3));
        trail.follows(10);
        assert_eq!((trail.findings, trail.missing), (2, 3));
    }
}
