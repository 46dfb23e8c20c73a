//! Records as aligned rows. The first rows decide how wide a column is; later ones may stick out.

use std::io::Write as _;

use super::record::Record;
use crate::render::{BAD, DIM, GOOD, visible};

/// Rows that decide the widths.
const MEASURED: usize = 200;
/// No column is made wider than this for the sake of one row.
const WIDTH_MAX: usize = 72;
const HEADS: [&str; 6] = ["TIME", "DECISION", "PRINCIPAL", "ACTION", "RESOURCE", "WHY"];

#[derive(Debug, Default)]
pub(super) struct Table {
    waiting: Vec<[String; 6]>,
    widths: Option<[usize; 6]>,
}

impl Table {
    pub(super) fn row(&mut self, record: &Record) -> anyhow::Result<()> {
        self.waiting.push(cells(record));
        if self.widths.is_some() || self.waiting.len() >= MEASURED {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let widths = widths(&self.waiting);
                write!(out, "{DIM}")?;
                write_row(&mut out, &HEADS.map(str::to_owned), &widths, false)?;
                write!(out, "{DIM:#}")?;
                *self.widths.insert(widths)
            }
        };
        for row in self.waiting.drain(..) {
            write_row(&mut out, &row, &widths, true)?;
        }
        Ok(())
    }
}

fn cells(record: &Record) -> [String; 6] {
    let time = visible(&record.event_time);
    if record.is_of_service() {
        let details: Vec<_> =
            record.service_event_details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let why = [record.error_message.clone(), details.join(" ")].join(" ");
        let name = visible(&record.event_name);
        return [time, "-".to_owned(), "-".to_owned(), name, "-".to_owned(), visible(why.trim())];
    }
    [
        time,
        visible(record.decision()),
        visible(record.principal()),
        visible(&record.action()),
        visible(record.resource()),
        visible(&format!("{} ({})", record.reason(), record.layer())),
    ]
}

fn widths(rows: &[[String; 6]]) -> [usize; 6] {
    let mut widths = HEADS.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count().min(WIDTH_MAX));
        }
    }
    widths
}

fn write_row(
    out: &mut impl std::io::Write,
    row: &[String; 6],
    widths: &[usize; 6],
    coloured: bool,
) -> anyhow::Result<()> {
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        let last = at + 1 == row.len();
        let padding = if last { 0 } else { width.saturating_sub(cell.chars().count()) };
        match cell.as_str() {
            "Allow" if coloured && at == 1 => write!(out, "{GOOD}{cell}{GOOD:#}")?,
            "Deny" if coloured && at == 1 => write!(out, "{BAD}{cell}{BAD:#}")?,
            _ => write!(out, "{cell}")?,
        }
        if !last {
            write!(out, "{:padding$}  ", "")?;
        }
    }
    writeln!(out)?;
    Ok(())
}
