//! Reads audit lines back: is anything missing, changed, torn or out of order?
//!
//! Reads no files: lines come in, findings go out. Invariant: it only trusts what it can recompute; a record
//! that says that others are missing is reported beside what is missing without such a record.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::escape::hex;
use super::rotation;
use super::service::{GAP, Happening};

/// Findings that are kept one by one; all are counted.
pub const FINDINGS_MAX: usize = 1_000;
/// Sequence numbers of one process that came early and wait for those before; more is out of order for good.
const EARLY_MAX: usize = 100_000;

/// The files that were set aside from an audit file and still are there, oldest first.
///
/// # Errors
/// When their directory cannot be read.
pub fn older_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(rotation::set_aside(path)?.into_iter().map(|(_, path)| path).collect())
}

/// One thing wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    /// Which kind.
    pub kind: FindingKind,
    /// The source that the line stood in, as its reader calls it.
    pub source: String,
    /// Line, from 1; 0 for what belongs to no line.
    pub line: u64,
    /// One sentence.
    pub message: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum FindingKind {
    /// Not a whole record.
    Torn,
    /// Records are missing, and the service said so at the time.
    DeclaredLoss,
    /// Records are missing, and nothing says why.
    Missing,
    /// A record stands there twice.
    Duplicate,
    /// The hash of the line before is another one.
    BrokenChain,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torn => "torn",
            Self::DeclaredLoss => "declared loss",
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
            Self::BrokenChain => "broken chain",
        })
    }
}

/// What was found in all lines together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Records that are decisions.
    pub decisions: u64,
    /// The processes that wrote them, by name, which sorts them by their start.
    pub processes: Vec<ProcessReport>,
    /// Records that carry a hash.
    pub chained: u64,
    /// Records that the service itself says it lost.
    pub declared_lost: u64,
    /// Records that are missing without a word.
    pub missing: u64,
    /// Findings in all.
    pub findings_count: u64,
    /// The first [`FINDINGS_MAX`] of them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing is torn, missing, doubled or changed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings_count == 0
    }
}

/// What was read of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessReport {
    /// Its `bootId`.
    pub boot_id: String,
    /// Lowest number seen; above 1 when older files are gone.
    pub first_sequence: u64,
    /// Highest number seen.
    pub last_sequence: u64,
    /// Its last record says that it ended; without it the process was killed, still runs, or the end was taken away.
    pub ended: bool,
}

/// Takes lines in the order in which they were written, file after file.
#[derive(Debug, Default)]
pub struct Verifier {
    report: Report,
    processes: BTreeMap<String, Process>,
    previous: Option<[u8; 32]>,
}

#[derive(Debug, Default)]
struct Process {
    /// All numbers below were seen or told of as lost.
    next: u64,
    /// Numbers seen beyond `next`.
    early: BTreeMap<u64, u64>,
    /// Ranges that gap records tell of, by their first number; none overlaps another.
    declared: BTreeMap<u64, u64>,
    source: String,
    report: ProcessReport,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "eventName")]
    event_name: String,
    #[serde(rename = "eventType")]
    event_type: String,
    #[serde(rename = "serviceEventDetails")]
    details: Option<Details>,
    #[serde(rename = "additionalEventData")]
    additional: Additional,
}

#[derive(Deserialize)]
struct Additional {
    #[serde(rename = "bootId")]
    boot: String,
    sequence: u64,
    #[serde(rename = "previousHash")]
    previous: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    #[serde(rename = "firstSequence")]
    first: u64,
    #[serde(rename = "lastSequence")]
    last: u64,
    lost: u64,
}

impl Verifier {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one line, without its end. `number` counts from 1 in its source.
    pub fn line(&mut self, source: &str, number: u64, line: &[u8]) {
        self.report.lines += 1;
        let previous = self.previous.replace(blake3::hash(line).into());
        let Ok(read) = serde_json::from_slice::<Line>(line) else {
            return self.found(FindingKind::Torn, source, number, "is not a whole record".to_owned());
        };
        if read.event_type == "AwsApiCall" {
            self.report.decisions += 1;
        }
        if let Some(claimed) = &read.additional.previous {
            self.report.chained += 1;
            self.chain(source, number, claimed, previous);
        }
        let Additional { boot, sequence, .. } = read.additional;
        let process = self.processes.entry(boot.clone()).or_insert_with(|| Process {
            next: sequence,
            source: source.to_owned(),
            report: ProcessReport {
                boot_id: boot.clone(),
                first_sequence: sequence,
                ..ProcessReport::default()
            },
            ..Process::default()
        });
        process.report.first_sequence = process.report.first_sequence.min(sequence);
        process.report.last_sequence = process.report.last_sequence.max(sequence);
        process.report.ended = read.event_name == Happening::Stop.as_str();
        if read.event_name == GAP
            && let Some(Details { first, last, lost }) = read.details
        {
            // The first record of a process may be a gap that begins before it.
            process.next = process.next.min(first.max(1));
            process.declare(first, last);
            self.report.declared_lost = self.report.declared_lost.saturating_add(lost);
            let message = format!("{lost} records between {first} and {last} of process {boot} were lost");
            self.found(FindingKind::DeclaredLoss, source, number, message);
        }
        self.sequence(source, number, &boot, sequence);
    }

    /// What is missing at the end as well.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for (boot, mut process) in std::mem::take(&mut self.processes) {
            while let Some((&first, _)) = process.early.first_key_value() {
                self.skip_to(&boot, &mut process, first);
            }
            self.report.processes.push(process.report);
        }
        self.report
    }

    fn chain(&mut self, source: &str, number: u64, claimed: &str, previous: Option<[u8; 32]>) {
        // Before the first line that is read there may be others.
        let Some(previous) = previous else { return };
        let mut actual = Vec::with_capacity(64);
        hex(&mut actual, &previous);
        if claimed.as_bytes() != actual.as_slice() {
            let message = "does not follow the line before it: one of them was changed, added or taken out";
            self.found(FindingKind::BrokenChain, source, number, message.to_owned());
        }
    }

    fn sequence(&mut self, source: &str, number: u64, boot: &str, sequence: u64) {
        let Some(mut process) = self.processes.remove(boot) else { return };
        if sequence < process.next && !process.is_declared(sequence) || process.early.contains_key(&sequence)
        {
            let message = format!("record {sequence} of process {boot} stands there twice");
            self.found(FindingKind::Duplicate, source, number, message);
        } else if sequence >= process.next {
            process.early.insert(sequence, number);
            process.advance();
            if process.early.len() > EARLY_MAX
                && let Some((&first, _)) = process.early.first_key_value()
            {
                self.skip_to(boot, &mut process, first);
            }
        }
        self.processes.insert(boot.to_owned(), process);
    }

    /// Counts what is missing before `first`, and goes on from there.
    fn skip_to(&mut self, boot: &str, process: &mut Process, first: u64) {
        let missing = process.undeclared(first);
        if missing > 0 {
            self.report.missing = self.report.missing.saturating_add(missing);
            let message = format!(
                "{missing} records between {} and {} of process {boot} are missing, and nothing says why",
                process.next,
                first - 1
            );
            let source = process.source.clone();
            self.found(FindingKind::Missing, &source, 0, message);
        }
        process.next = first;
        process.advance();
    }

    fn found(&mut self, kind: FindingKind, source: &str, line: u64, message: String) {
        self.report.findings_count += 1;
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding { kind, source: source.to_owned(), line, message });
        }
    }
}

impl Process {
    fn advance(&mut self) {
        while self.early.remove(&self.next).is_some() {
            self.next = self.next.saturating_add(1);
        }
    }

    /// A gap record tells of these numbers.
    fn declare(&mut self, mut first: u64, mut last: u64) {
        if last < first {
            return;
        }
        while let Some((&from, &to)) =
            self.declared.range(..=last).next_back().filter(|(_, to)| **to >= first)
        {
            self.declared.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.declared.insert(first, last);
    }

    fn is_declared(&self, number: u64) -> bool {
        self.declared.range(..=number).next_back().is_some_and(|(_, last)| number <= *last)
    }

    /// Numbers from `next` up to `end`, without it, that no gap record tells of.
    fn undeclared(&self, end: u64) -> u64 {
        let (mut from, mut missing) = (self.next, 0_u64);
        // Those that end before are many after a night of overload.
        let begin = self.declared.range(..=from).next_back().map_or(from, |(&first, _)| first);
        for (&first, &last) in self.declared.range(begin..end.max(begin)) {
            missing = missing.saturating_add(first.saturating_sub(from).min(end.saturating_sub(from)));
            from = from.max(last.saturating_add(1));
        }
        missing.saturating_add(end.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests;
