//! `audit`: reads the records that a sidecar wrote. What makes them sound is the server's to say.

mod ending;
mod filter;
mod record;
mod source;
mod table;

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use portcullis_server::audit::verify::{ProcessReport, Report, Verifier};

use self::ending::Ending;
use self::filter::Filter;
use self::record::Record;
use self::source::{Follower, Lines, sources};
use self::table::Table;
use crate::args::{Audit, AuditCommand, AuditQuery, AuditTail, AuditVerify, Output};
use crate::exit::Exit;
use crate::render::{BAD, DIM, GOOD, counted, visible, write_json_pretty};

/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn run(audit: &Audit) -> anyhow::Result<Exit> {
    match &audit.command {
        AuditCommand::Query(asked) => query(asked),
        AuditCommand::Verify(asked) => verify(asked),
        AuditCommand::Tail(asked) => tail(asked),
    }
}

fn query(asked: &AuditQuery) -> anyhow::Result<Exit> {
    let filter = Filter::new(&asked.filter)?;
    let mut printer = Printer::new(asked.output);
    let limit = asked.limit.unwrap_or(usize::MAX);
    let mut printed = 0;
    'files: for source in sources(&asked.files)? {
        let mut lines = Lines::open(&source)?;
        while printed < limit {
            let Some(line) = lines.next()? else { continue 'files };
            printed += usize::from(printer.line(line, &filter)?);
        }
        break;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

fn tail(asked: &AuditTail) -> anyhow::Result<Exit> {
    let filter = Filter::new(&asked.filter)?;
    let ending = asked.follow.then(|| Ending::listen(asked.linger_ms)).transpose()?;
    let Some(mut follower) = open(&asked.file, ending.as_ref())? else { return Ok(Exit::Ok) };
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    while let Some(line) = follower.next()? {
        if Record::read(line).is_some_and(|record| filter.matches(&record)) {
            last.push_back(line.to_owned());
            if last.len() > asked.lines {
                last.pop_front();
            }
        }
    }
    let mut printer = Printer::new(asked.output);
    for line in last {
        printer.line(&line, &filter)?;
    }
    printer.flush()?;
    if let Some(ending) = &ending {
        follow(&mut follower, &mut printer, &filter, ending)?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// The file; one that is to be followed may not be there yet. None when the end comes before it does.
fn open(path: &Path, ending: Option<&Ending>) -> anyhow::Result<Option<Follower>> {
    while let Some(ending) = ending.filter(|_| !path.exists()) {
        if ending.is_near() {
            return Ok(None);
        }
        sleep(LOOK);
    }
    Follower::open(path).map(Some)
}

/// Until the process is told to end and the service has said that it ended or there is no more time for it, or the one
/// that reads the output goes.
fn follow(
    follower: &mut Follower,
    printer: &mut Printer,
    filter: &Filter,
    ending: &Ending,
) -> anyhow::Result<()> {
    loop {
        // Asked before the last look, so that nothing written until then is left out.
        let (near, now) = (ending.is_near(), ending.is_now());
        while let Some(line) = follower.next()? {
            printer.line(line, filter)?;
        }
        printer.flush()?;
        let moved = follower.moved_on()?;
        if !moved && (now || near && printer.ended) {
            return Ok(());
        }
        if !moved {
            sleep(LOOK);
        }
    }
}

fn verify(asked: &AuditVerify) -> anyhow::Result<Exit> {
    let mut verifier = Verifier::new();
    for source in sources(&asked.files)? {
        let mut lines = Lines::open(&source)?;
        let name = source.to_string_lossy();
        let mut number = 0;
        while let Some(line) = lines.next()? {
            number += 1;
            verifier.line(&name, number, line);
        }
    }
    let report = verifier.finish();
    let mut out = anstream::stdout().lock();
    match asked.output {
        Output::Json => write_json_pretty(&mut out, &report)?,
        Output::Human => write_report(&mut out, &report)?,
    }
    out.flush()?;
    Ok(if report.is_sound() { Exit::Ok } else { Exit::ExpectationsFailed })
}

fn write_report(out: &mut impl Write, report: &Report) -> anyhow::Result<()> {
    for finding in &report.findings {
        let place = match finding.line {
            0 => visible(&finding.source),
            line => format!("{}:{line}", visible(&finding.source)),
        };
        writeln!(out, "{BAD}{}{BAD:#}: {place}: {}", finding.kind, visible(&finding.message))?;
    }
    let unlisted = report.findings_count - report.findings.len() as u64;
    if unlisted > 0 {
        writeln!(out, "and {} more", counted(unlisted, "finding", "findings"))?;
    }
    for ProcessReport { boot_id, first_sequence, last_sequence, ended } in &report.processes {
        let end = if *ended { "ended" } else { "did not say that it ended" };
        writeln!(
            out,
            "{DIM}process {}: records {first_sequence} to {last_sequence}, {end}{DIM:#}",
            visible(boot_id)
        )?;
    }
    let lines = counted(report.lines, "record", "records");
    if report.is_sound() {
        let chained = match report.chained {
            0 => "not chained".to_owned(),
            chained if chained == report.lines => "all chained".to_owned(),
            chained => format!("{chained} chained"),
        };
        writeln!(out, "{GOOD}sound{GOOD:#}: {lines}, {chained}")?;
    } else {
        writeln!(
            out,
            "{BAD}not sound{BAD:#}: {lines}, {}, {} missing, {} lost and told of",
            counted(report.findings_count, "finding", "findings"),
            report.missing,
            report.declared_lost
        )?;
    }
    Ok(())
}

/// Prints records as they come.
struct Printer {
    output: Output,
    table: Table,
    unread: u64,
    /// The last record says that the service ended.
    ended: bool,
}

impl Printer {
    fn new(output: Output) -> Self {
        Self { output, table: Table::default(), unread: 0, ended: false }
    }

    /// Prints a line if it is meant. Whether it is.
    fn line(&mut self, line: &[u8], filter: &Filter) -> anyhow::Result<bool> {
        let Some(record) = Record::read(line) else {
            self.unread += 1;
            return Ok(false);
        };
        self.ended = record.is_of_service() && record.event_name == "StopServer";
        if !filter.matches(&record) {
            return Ok(false);
        }
        match self.output {
            Output::Json => {
                let mut out = anstream::stdout().lock();
                out.write_all(line)?;
                out.write_all(b"\n")?;
            }
            Output::Human => self.table.row(&record)?,
        }
        Ok(true)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.table.flush()?;
        anstream::stdout().flush()?;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        if self.unread > 0 {
            let lines = counted(self.unread, "line is not a record", "lines are not records");
            writeln!(anstream::stderr(), "{lines}; see `portcullis audit verify`")?;
        }
        Ok(())
    }
}
