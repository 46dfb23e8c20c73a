//! A histogram of durations in fixed buckets, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in nanoseconds: from the time of an index lookup to that of a request that spends its whole budget.
const ENGINE_BUCKETS: [u64; 16] = [
    250,
    500,
    1_000,
    2_000,
    3_000,
    5_000,
    7_500,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// Durations by the first bound of [`ENGINE_BUCKETS`] that they do not exceed; the last counter is for what exceeds all.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; ENGINE_BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Adds one duration.
    pub(crate) fn observe(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = ENGINE_BUCKETS.partition_point(|bound| *bound < took);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// The sum in seconds, the count, and each bucket's upper bound in seconds with its own count.
    pub(crate) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = ENGINE_BUCKETS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|counter| counter.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (seconds(self.nanoseconds.load(Ordering::Relaxed)), count, buckets)
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
