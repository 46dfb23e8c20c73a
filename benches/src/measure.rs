//! What a measurement is made of: one decision, the clock's own cost, percentiles, memory, a table.

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use portcullis_engine::{ContextValue, PolicySet, Reason, Request, RequestInput};

use crate::stop;

/// Raw texts in, a reason out: what every bench calls one decision.
#[inline(never)]
#[must_use]
pub fn decide(policy_set: &PolicySet, input: RequestInput<'_>) -> Option<Reason> {
    let request = Request::parse(input).ok()?;
    Some(black_box(policy_set.authorize(&request)).reason)
}

/// Reads every byte of a request, so that its texts are where a wire leaves them: in the cache.
pub fn touch(input: &RequestInput<'_>) {
    let sum = |text: &str| text.bytes().fold(0_u8, u8::wrapping_add);
    let mut all = sum(input.principal) ^ sum(input.action) ^ sum(input.resource);
    for (key, value) in input.context {
        all ^= sum(key);
        match value {
            ContextValue::Text(text) => all ^= sum(text),
            ContextValue::List(list) => all ^= list.iter().fold(0, |all, text| all ^ sum(text)),
            ContextValue::Bool(flag) => all ^= u8::from(*flag),
        }
    }
    black_box(all);
}

/// Times of single calls, without what reading the clock costs.
#[derive(Debug)]
pub struct Times {
    clock: u64,
    nanoseconds: Vec<u64>,
    sorted: bool,
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

impl Times {
    /// Measures the clock first.
    #[must_use]
    pub fn new() -> Self {
        let mut clock = Self { clock: 0, nanoseconds: Vec::new(), sorted: false };
        for _ in 0..2_000 {
            clock.time(|| {});
        }
        Self { clock: clock.at(50.0), nanoseconds: Vec::new(), sorted: false }
    }

    /// Times one call.
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = black_box(call());
        let elapsed = start.elapsed();
        self.add(elapsed);
        result
    }

    /// Adds a time.
    pub fn add(&mut self, elapsed: Duration) {
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.push(nanoseconds.saturating_sub(self.clock));
        self.sorted = false;
    }

    /// The time that so many percent of the calls did not exceed, in nanoseconds.
    pub fn at(&mut self, percent: f64) -> u64 {
        if !self.sorted {
            self.nanoseconds.sort_unstable();
            self.sorted = true;
        }
        let rank = (self.nanoseconds.len() as f64 * percent / 100.0) as usize;
        self.nanoseconds.get(rank).or(self.nanoseconds.last()).copied().unwrap_or_default()
    }

    /// The median in nanoseconds.
    pub fn median(&mut self) -> f64 {
        self.at(50.0) as f64
    }

    /// The mean in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.nanoseconds.iter().sum::<u64>() as f64 / self.nanoseconds.len().max(1) as f64
    }

    /// How many calls were timed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nanoseconds.len()
    }
}

/// Memory of this process, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Resident at most, since the process began or [`Memory::forget_peak`].
    pub peak: u64,
}

impl Memory {
    /// Reads `/proc/self/status`.
    #[must_use]
    pub fn now() -> Self {
        let status = procfs::process::Process::myself().and_then(|process| process.status());
        let status = status.unwrap_or_else(|error| stop(&error.to_string()));
        let bytes = |kibibytes: Option<u64>| kibibytes.unwrap_or_default() * 1024;
        Self { resident: bytes(status.vmrss), peak: bytes(status.vmhwm) }
    }

    /// Lets the peak start from what is resident now.
    pub fn forget_peak() {
        // 5 resets the peak (proc(5), clear_refs). A kernel that refuses leaves the peak too high, never too low.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
    }
}

/// Nanoseconds for people.
#[must_use]
pub fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 10_000.0 => format!("{n:.0} ns"),
        n if n < 10_000_000.0 => format!("{:.1} us", n / 1e3),
        n if n < 1e10 => format!("{:.1} ms", n / 1e6),
        n => format!("{:.1} s", n / 1e9),
    }
}

/// Bytes for people.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A ratio for people.
#[must_use]
pub fn ratio(one: f64, other: f64) -> String {
    match one / other.max(f64::MIN_POSITIVE) {
        ratio if ratio < 10.0 => format!("{ratio:.2} x"),
        ratio => format!("{ratio:.0} x"),
    }
}

/// A table: the first row is the head, the first column aligned left, the others right. Markdown, so that it can be kept.
pub fn print_table(title: &str, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width =
        |column: usize| rows.iter().map(|row| cell(row, column).len()).max().unwrap_or_default().max(3);
    let mut text = format!("\n{title}\n\n");
    for (number, row) in rows.iter().enumerate() {
        for column in 0..columns {
            let (cell, width) = (cell(row, column), width(column));
            text += &if column == 0 { format!("| {cell:<width$} ") } else { format!("| {cell:>width$} ") };
        }
        text += "|\n";
        if number == 0 {
            for column in 0..columns {
                let dashes = "-".repeat(width(column));
                text += &if column == 0 { format!("|:{dashes}-") } else { format!("|-{dashes}:") };
            }
            text += "|\n";
        }
    }
    print(&text);
}

/// Prints a line of the results.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
