//! The audit trail as it is found: what `audit verify` says, and which answers have a record.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::lab::Lab;
use crate::sidecar::{NEVER, Sidecar, until};

/// What `audit verify` says.
pub(crate) struct Report(pub(crate) Value);

impl Report {
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX)
    }

    pub(crate) fn kinds(&self, kind: &str) -> usize {
        let found = self.0.get("Findings").and_then(Value::as_array);
        found
            .into_iter()
            .flatten()
            .filter(|one| one.get("Kind").and_then(Value::as_str) == Some(kind))
            .count()
    }

    /// Nothing is torn, missing, doubled, or lost.
    pub(crate) fn sound(&self) -> anyhow::Result<()> {
        ensure!(self.number("FindingsCount") == 0, "`audit verify` finds {}", self.0);
        Ok(())
    }

    /// Nothing is torn or doubled, and what is missing was told of.
    pub(crate) fn honest(&self) -> anyhow::Result<()> {
        let bad = self.kinds("Torn") + self.kinds("Duplicate") + self.kinds("Missing");
        ensure!(bad == 0 && self.number("Missing") == 0, "`audit verify` finds {}", self.0);
        Ok(())
    }
}

/// Has the program verify a file and the older ones beside it.
pub(crate) fn verified(lab: &Lab, file: &Path) -> anyhow::Result<Report> {
    verify(lab, &[Path::new("--rotated"), file])
}

/// Has the program verify files, the oldest first.
pub(crate) fn verify(lab: &Lab, files: &[impl AsRef<Path>]) -> anyhow::Result<Report> {
    let mut command = Command::new(lab.program());
    command.args(["audit", "verify", "--output", "json"]);
    let output = command.args(files.iter().map(AsRef::as_ref)).output()?;
    let error = || String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Report(serde_json::from_slice(&output.stdout).with_context(error)?))
}

/// The file and those that were set aside from it.
pub(crate) fn files(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = file.file_name().and_then(|name| name.to_str()).context("no name")?;
    let mut found = Vec::new();
    for entry in fs::read_dir(file.parent().context("no folder")?)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(name) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The ids of all answers that have a record.
pub(crate) fn recorded(file: &Path) -> anyhow::Result<BTreeSet<String>> {
    const MEMBER: &str = "\"requestID\":\"";
    let mut ids = BTreeSet::new();
    for file in files(file)? {
        for line in fs::read_to_string(file)?.lines() {
            let after = line.find(MEMBER).and_then(|at| line.get(at + MEMBER.len()..));
            ids.extend(after.and_then(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    Ok(ids)
}

pub(crate) async fn healthy(sidecar: &Sidecar, wanted: bool) -> anyhow::Result<()> {
    until(&format!("portcullis_audit_healthy is {wanted}"), async || {
        let is = sidecar.metric("portcullis_audit_healthy", "").await? > 0.5;
        let waiting = sidecar.metric("portcullis_audit_queue_records", "").await?;
        Ok(is == wanted && (!wanted || waiting < 0.5))
    })
    .await
}

pub(crate) async fn end(sidecar: &mut Sidecar) -> anyhow::Result<()> {
    sidecar.signal(Signal::TERM)?;
    let status = sidecar.ended(NEVER).await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}
