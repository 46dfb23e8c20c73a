//! What is counted of the load, part by part.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Digits of a time that are kept.
const DIGITS: u8 = 3;
/// The longest time that is told from longer ones, in microseconds.
const MICROS_MAX: u64 = 60_000_000;

/// Counts of one part of the load, or of all of it.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    begun: Instant,
    took: Duration,
    /// Calls that were answered, a message of a stream being one.
    pub(super) calls: u64,
    /// Decisions in them.
    pub(super) answers: u64,
    /// Decisions that were asked for in calls that failed.
    pub(super) unanswered: u64,
    /// Connections that were opened.
    pub(super) connections: u64,
    /// Failed calls and connections, by what was said.
    pub(super) errors: BTreeMap<String, u64>,
    times: Option<Histogram<u64>>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            took: Duration::ZERO,
            calls: 0,
            answers: 0,
            unanswered: 0,
            connections: 0,
            errors: BTreeMap::new(),
            times: Histogram::new_with_max(MICROS_MAX, DIGITS).ok(),
        }
    }

    pub(super) fn answered(&mut self, answers: u64, time: Duration) {
        self.calls += 1;
        self.answers += answers;
        if let Some(times) = &mut self.times {
            times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn failed(&mut self, unanswered: u64, why: &anyhow::Error) {
        self.unanswered += unanswered;
        *self.errors.entry(format!("{why:#}")).or_default() += 1;
    }

    pub(super) fn errors_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// This part, and a new one begins.
    pub(super) fn next(&mut self) -> Self {
        let mut part = std::mem::replace(self, Self::new());
        part.took = part.begun.elapsed();
        part
    }

    pub(super) fn per_second(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64().max(0.001)
    }

    /// The time within which this part of a hundred was answered.
    pub(super) fn percentile(&self, percent: f64) -> Duration {
        let micros = self.times.as_ref().map_or(0, |times| times.value_at_percentile(percent));
        Duration::from_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_kept_beside_short_ones() {
        let mut tally = Tally::new();
        (0..98).for_each(|_| tally.answered(2, Duration::from_micros(100)));
        (0..2).for_each(|_| tally.answered(2, Duration::from_millis(800)));
        assert_eq!((tally.calls, tally.answers), (100, 200));
        assert_eq!(tally.percentile(50.0), Duration::from_micros(100));
        assert!(tally.percentile(99.9) >= Duration::from_millis(799));
    }
}
