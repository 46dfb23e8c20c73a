//! `simulate`: JSON Lines in, one answer a line out, in order.
//!
//! Invariant: every line that is not blank yields exactly one answer; a line that cannot be answered yields an
//! `Error` and the next one is taken.

mod expect;
mod line;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::directory;
use crate::args::{Output, Simulate};
use crate::exit::Exit;
use crate::render::write_json;
use line::{Lines, Reply};

/// Bytes of one line.
const LINE_BYTES_MAX: u64 = portcullis_engine::limit::SOURCE_BYTES_MAX as u64;

pub(super) fn run(simulate: &Simulate) -> anyhow::Result<Exit> {
    let policy_set = match &simulate.at {
        Some(at) => match directory::load_or_report(at, simulate.load_mode.into())? {
            Some(policy_set) => Some(policy_set),
            None => return Ok(Exit::PoliciesRejected),
        },
        None => None,
    };
    let (input, name) = open(&simulate.file)?;
    let mut lines = Lines::new(policy_set, name, simulate.load_mode.into());
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let exit = if simulate.expect {
        compare(input, &mut lines, &mut out, simulate.output)?
    } else {
        answer(input, &mut lines, &mut out)?
    };
    out.flush()?;
    Ok(exit)
}

type Input = BufReader<Box<dyn Read>>;

fn open(path: &Path) -> anyhow::Result<(Input, String)> {
    if path == Path::new("-") {
        return Ok((BufReader::new(Box::new(std::io::stdin())), "<stdin>".to_owned()));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((BufReader::new(Box::new(file)), path.to_string_lossy().into_owned()))
}

/// The next line that is not blank, with its number.
fn next_line(input: &mut Input, number: &mut u32) -> anyhow::Result<Option<Vec<u8>>> {
    loop {
        let mut line = Vec::new();
        let length = input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        *number = number.saturating_add(1);
        if length as u64 > LINE_BYTES_MAX {
            bail!("line {number} is longer than {LINE_BYTES_MAX} bytes");
        }
        if !line.trim_ascii().is_empty() {
            return Ok(Some(line));
        }
    }
}

/// Writes every answer; with one request alone the exit code is its decision.
fn answer(mut input: Input, lines: &mut Lines, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (mut number, mut count, mut last) = (0, 0_u64, Exit::Ok);
    while let Some(line) = next_line(&mut input, &mut number)? {
        let reply = lines.reply(number, &line);
        write_json(out, &reply.object())?;
        // Whoever writes a line and waits for its answer gets it.
        if input.buffer().is_empty() {
            out.flush()?;
        }
        count += 1;
        last = match reply {
            Reply::Answer(answer) if answer.denied() => Exit::Denied,
            Reply::Answer(_) => Exit::Ok,
            Reply::Error(error) if error.policies => Exit::PoliciesRejected,
            Reply::Error(_) => Exit::CouldNotRun,
        };
    }
    Ok(if count == 1 { last } else { Exit::Ok })
}

/// Writes the answers that are not as expected, and a count.
fn compare(
    mut input: Input,
    lines: &mut Lines,
    out: &mut impl Write,
    output: Output,
) -> anyhow::Result<Exit> {
    let (mut number, mut count, mut as_expected) = (0, 0_u64, 0_u64);
    while let Some(line) = next_line(&mut input, &mut number)? {
        let reply = lines.reply(number, &line).object();
        count += 1;
        match expect::difference(number, &line, &reply) {
            Some(difference) => write_json(out, &difference)?,
            None => as_expected += 1,
        }
    }
    match output {
        Output::Human => writeln!(out, "{as_expected} of {count} as expected")?,
        Output::Json => write_json(out, &json!({ "AsExpected": as_expected, "Total": count }))?,
    }
    // Nothing compared is nothing shown.
    Ok(if count > 0 && as_expected == count { Exit::Ok } else { Exit::ExpectationsFailed })
}
