//! The verdicts as a table or as JSON.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::fault::{Fault, Finding, Need, Verdict};

/// The longest cell of a middle column; the last one has no bound.
const CELL_MAX: usize = 44;

pub(crate) fn complain(error: &anyhow::Error) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(anstream::stderr(), "error: {error:#}");
}

/// What there is.
pub(crate) fn list(faults: &[Fault]) -> anyhow::Result<()> {
    let rows = faults.iter().map(|fault| {
        let needs: Vec<_> = fault.needs.iter().map(|need| need_word(*need)).collect();
        let quick = if fault.quick { "ci" } else { "" };
        vec![
            fault.id.to_owned(),
            fault.name.to_owned(),
            quick.to_owned(),
            needs.join(", "),
            fault.injected.to_owned(),
        ]
    });
    table(&["fault", "what", "", "needs", "injected"], rows.collect())
}

fn need_word(need: Need) -> String {
    match need {
        Need::Root => "root".to_owned(),
        Need::Mounts => "mounts".to_owned(),
        Need::Program(program, _) => program.to_owned(),
        Need::UserNamespace => "userns".to_owned(),
        Need::FakeTime => "libfaketime".to_owned(),
        Need::Cgroup(controller) => format!("cgroup {controller}"),
    }
}

/// All verdicts and their counts.
pub(crate) fn write(findings: &[Finding<'_>], took: Duration, as_json: bool) -> anyhow::Result<()> {
    let count = |word: &str| findings.iter().filter(|finding| told(&finding.verdict).0 == word).count();
    let (pass, fail, skip) = (count("PASS"), count("FAIL"), count("SKIP"));
    if as_json {
        let rows: Vec<_> = findings
            .iter()
            .map(|Finding { fault, verdict, took }| {
                let (word, text) = told(verdict);
                json!({ "Fault": fault.id, "Name": fault.name, "Injected": fault.injected, "Verdict": word,
                        "Outcome": text, "Milliseconds": took.as_millis() as u64 })
            })
            .collect();
        let value = json!({ "Pass": pass, "Fail": fail, "Skip": skip,
                            "Seconds": took.as_secs(), "Faults": rows });
        writeln!(anstream::stdout(), "{value:#}")?;
        return Ok(());
    }
    let rows = findings.iter().map(|Finding { fault, verdict, took }| {
        let (word, text) = told(verdict);
        let seconds = format!("{:.1}", took.as_secs_f64());
        vec![
            fault.id.to_owned(),
            word.to_owned(),
            seconds,
            fault.name.to_owned(),
            fault.injected.to_owned(),
            text.to_owned(),
        ]
    });
    table(&["fault", "", "s", "what", "injected", "outcome"], rows.collect())?;
    let seconds = took.as_secs();
    writeln!(
        anstream::stdout(),
        "\n{pass} passed, {fail} failed, {skip} skipped (not counted as passed); {seconds} s"
    )?;
    Ok(())
}

fn told(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Pass(text) => ("PASS", text),
        Verdict::Fail(text) => ("FAIL", text),
        Verdict::Skip(text) => ("SKIP", text),
    }
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
    let head: Vec<_> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut widths = vec![0; head.len()];
    for row in std::iter::once(&head).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).min(CELL_MAX);
        }
    }
    let mut out = anstream::stdout().lock();
    for row in std::iter::once(&head).chain(&rows) {
        let mut line = String::new();
        for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let last = place + 1 == row.len();
            let cell = if last { cell.replace('\n', " | ") } else { shortened(cell) };
            let pad = if last { 0 } else { width.saturating_sub(cell.chars().count()) + 2 };
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', pad));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn shortened(cell: &str) -> String {
    if cell.chars().count() <= CELL_MAX {
        return cell.to_owned();
    }
    cell.chars().take(CELL_MAX - 1).chain(std::iter::once('~')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_no_pass() {
        assert_eq!(told(&Verdict::Skip("needs root".to_owned())), ("SKIP", "needs root"));
    }

    #[test]
    fn long_cells_are_cut_and_short_ones_are_not() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"x".repeat(60)).chars().count(), CELL_MAX);
    }
}
