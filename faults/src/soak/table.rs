//! What came of it, as a table or as JSON.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::json;

use super::harvest::Trail;
use super::load::All;
use super::meter::Tally;
use super::sample::Samples;
use super::storm::Written;
use super::{Arguments, Reloads};

const MIB: f64 = 1_048_576.0;

/// Everything that a run found.
pub(super) struct Found<'a> {
    pub(super) arguments: &'a Arguments,
    /// Calls each second without a pause.
    pub(super) full: f64,
    pub(super) quiet: Tally,
    pub(super) stormy: Tally,
    pub(super) all: All,
    pub(super) samples: Samples,
    pub(super) rest: Samples,
    pub(super) after: Samples,
    pub(super) written: Written,
    pub(super) reloads: Reloads,
    pub(super) trail: Trail,
    pub(super) lost: f64,
    pub(super) panics: f64,
    pub(super) status: ExitStatus,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    what: &'static str,
    value: String,
    /// The bound, and whether it holds; none where there is none.
    bound: Option<(String, bool)>,
}

impl Row {
    pub(super) fn holds(&self) -> bool {
        self.bound.as_ref().is_none_or(|(_, holds)| *holds)
    }
}

fn told(what: &'static str, value: impl Display) -> Row {
    Row { what, value: value.to_string(), bound: None }
}

fn bound(what: &'static str, value: impl Display, bound: impl Display, holds: bool) -> Row {
    Row { what, value: value.to_string(), bound: Some((bound.to_string(), holds)) }
}

/// Milliseconds with two digits.
fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn percentiles(tally: &Tally) -> String {
    let [half, most, nearly_all] = [50.0, 99.0, 99.9].map(|percent| ms(tally.percentile(percent)));
    format!("{half} / {most} / {nearly_all} ms")
}

pub(super) fn rows(found: &Found<'_>) -> Vec<Row> {
    let mut rows = load_rows(found);
    rows.extend(answer_rows(found));
    rows.extend(process_rows(found));
    rows.extend(trail_rows(found));
    rows
}

fn load_rows(found: &Found<'_>) -> Vec<Row> {
    let Found { arguments, full, quiet, stormy, .. } = found;
    let times = stormy.percentile(99.9).as_secs_f64() / quiet.percentile(99.9).as_secs_f64().max(1e-6);
    vec![
        told("calls each second without a pause", format!("{full:.0}")),
        told(
            "calls each second, quiet and in the storm",
            format!("{:.0} and {:.0} ({} %)", quiet.per_second(), stormy.per_second(), arguments.share),
        ),
        told("p50 / p99 / p99.9, quiet", percentiles(quiet)),
        told("p50 / p99 / p99.9, in the storm", format!("{} ({times:.1} times quiet)", percentiles(stormy))),
        told("connections opened", found.all.tally.connections),
    ]
}

fn answer_rows(found: &Found<'_>) -> Vec<Row> {
    let Found { all, written, reloads, .. } = found;
    let wrong = &all.wrong;
    let first = wrong.first.as_ref().map(|first| format!(": {first}")).unwrap_or_default();
    let errors: Vec<_> = all.tally.errors.iter().map(|(why, count)| format!("{count} {why}")).collect();
    let errors_count = all.tally.errors_count();
    let Written { whole, broken, hang_ups } = written;
    vec![
        told("policy sets written", format!("{whole} whole, {broken} broken; {hang_ups} SIGHUP")),
        told("reloads", format!("{} published, {} rejected", reloads.published, reloads.rejected)),
        bound("policy sets seen in answers", all.sets, "at least 2", all.sets >= 2),
        told("answers", all.tally.answers),
        bound(
            "wrong answers",
            format!("{} ({} mixed, {} backward){first}", wrong.count(), wrong.mixed, wrong.backward),
            0,
            wrong.count() == 0 && all.tally.answers > 0,
        ),
        bound(
            "failed calls",
            format!("{errors_count} {}", errors.join("; ")).trim_end(),
            0,
            errors_count == 0,
        ),
    ]
}

fn process_rows(found: &Found<'_>) -> Vec<Row> {
    let Found { arguments, samples, rest, after, .. } = found;
    let (slope, seconds) = samples.slope();
    let growth = slope * seconds / MIB;
    let mib = |bytes: u64| bytes as f64 / MIB;
    let at_rest =
        |now: usize, most: usize, before: usize| format!("{now} after {most} at most, {before} before");
    vec![
        told(
            "resident memory",
            format!(
                "{:.1} MiB, {:.1} at most, {:.1} before",
                mib(samples.resident),
                mib(samples.resident_max),
                mib(rest.resident)
            ),
        ),
        bound(
            "its slope after warming up",
            format!("{:+.2} MiB an hour: {growth:+.2} MiB in {seconds:.0} s", slope * 3_600.0 / MIB),
            format!("{:+.2} MiB", arguments.growth_max),
            growth <= arguments.growth_max,
        ),
        bound(
            "descriptors",
            at_rest(after.descriptors, samples.descriptors_max, rest.descriptors),
            "as before, and 3",
            after.is_within(rest),
        ),
        bound(
            "threads",
            at_rest(after.threads, samples.threads_max, rest.threads),
            "as before, and 3",
            after.is_within(rest),
        ),
        bound("panics", found.panics, 0, found.panics < 0.5),
        bound("end by SIGTERM", found.status, "success", found.status.success()),
    ]
}

fn trail_rows(found: &Found<'_>) -> Vec<Row> {
    let Found { all, trail, lost, .. } = found;
    let (least, most) = (all.tally.answers, all.tally.answers + all.tally.unanswered);
    let first = trail.first.as_ref().map(|first| format!(": {first}")).unwrap_or_default();
    vec![
        told("audit files and records", format!("{} and {}", trail.files, trail.records)),
        bound(
            "records of decisions",
            trail.decisions,
            if least == most { least.to_string() } else { format!("{least} to {most}") },
            (least..=most).contains(&trail.decisions),
        ),
        bound("findings of `audit verify`", format!("{}{first}", trail.findings), 0, trail.findings == 0),
        bound(
            "records missing, and counted as lost",
            format!("{} and {lost}", trail.missing),
            0,
            trail.missing == 0 && *lost < 0.5,
        ),
    ]
}

/// A line on standard error, where it disturbs no output.
pub(super) fn progress(
    at: Duration,
    (look, wrong): &(Tally, u64),
    samples: &Samples,
    reloads: Reloads,
) -> anyhow::Result<()> {
    writeln!(
        anstream::stderr(),
        "{:5} s  {:6.0} calls/s  p99 {} ms  {:.1} MiB  {} descriptors  {} threads  {} reloads, {} rejected  {wrong} wrong  \
         {} failed",
        at.as_secs(),
        look.per_second(),
        ms(look.percentile(99.0)),
        samples.resident as f64 / MIB,
        samples.descriptors,
        samples.threads,
        reloads.published,
        reloads.rejected,
        look.errors_count(),
    )?;
    Ok(())
}

fn verdict(row: &Row) -> &'static str {
    match &row.bound {
        None => "",
        Some((_, true)) => "ok",
        Some((_, false)) => "BROKEN",
    }
}

pub(super) fn write(rows: &[Row]) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    for row in rows {
        let limit = row.bound.as_ref().map(|(limit, _)| format!("  (bound: {limit})")).unwrap_or_default();
        writeln!(out, "{:6}  {:42}  {}{limit}", verdict(row), row.what, row.value)?;
    }
    Ok(())
}

pub(super) fn write_json(rows: &[Row]) -> anyhow::Result<()> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let limit = row.bound.as_ref().map(|(limit, _)| limit);
            json!({ "What": row.what, "Value": row.value, "Bound": limit, "Holds": row.holds() })
        })
        .collect();
    writeln!(anstream::stdout(), "{:#}", json!({ "Rows": rows }))?;
    Ok(())
}
