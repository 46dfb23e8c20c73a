//! What the process holds: memory, descriptors, threads, and how memory grows.

use std::time::Duration;

use crate::sidecar::Sidecar;

/// Descriptors and threads that may be more at rest than before: a thread for blocking work lives ten seconds.
const MORE_MAX: usize = 3;

/// Looks at the process.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    /// Looks before this time do not count for the slope.
    warm_up: Duration,
    /// Seconds and bytes.
    memory: Vec<(f64, f64)>,
    pub(super) resident: u64,
    pub(super) resident_max: u64,
    pub(super) descriptors: usize,
    pub(super) descriptors_max: usize,
    pub(super) threads: usize,
    pub(super) threads_max: usize,
}

impl Samples {
    pub(super) fn new(warm_up: Duration) -> Self {
        Self {
            warm_up,
            memory: Vec::new(),
            resident: 0,
            resident_max: 0,
            descriptors: 0,
            descriptors_max: 0,
            threads: 0,
            threads_max: 0,
        }
    }

    /// One look.
    pub(super) fn one(sidecar: &Sidecar) -> anyhow::Result<Self> {
        let mut samples = Self::new(Duration::ZERO);
        samples.take(Duration::ZERO, sidecar)?;
        Ok(samples)
    }

    pub(super) fn take(&mut self, at: Duration, sidecar: &Sidecar) -> anyhow::Result<()> {
        (self.resident, self.descriptors) = (sidecar.resident()?, sidecar.descriptors()?);
        self.threads = sidecar.threads()?;
        self.resident_max = self.resident_max.max(self.resident);
        self.descriptors_max = self.descriptors_max.max(self.descriptors);
        self.threads_max = self.threads_max.max(self.threads);
        if at >= self.warm_up {
            self.memory.push((at.as_secs_f64(), self.resident as f64));
        }
        Ok(())
    }

    /// Whether there are no more descriptors and threads than then, but for a few.
    pub(super) fn is_within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors + MORE_MAX && self.threads <= before.threads + MORE_MAX
    }

    /// Bytes by which memory grows each second, by least squares; the seconds that were looked at.
    pub(super) fn slope(&self) -> (f64, f64) {
        slope(&self.memory)
    }
}

fn slope(points: &[(f64, f64)]) -> (f64, f64) {
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else { return (0.0, 0.0) };
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (mut above, mut below) = (0.0, 0.0);
    for point in points {
        above += (point.0 - x) * (point.1 - y);
        below += (point.0 - x) * (point.0 - x);
    }
    (if below > 0.0 { above / below } else { 0.0 }, last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_found_and_noise_around_a_level_has_none() {
        let line: Vec<_> = (0..50).map(|at| (f64::from(at), 7.0 + 3.0 * f64::from(at))).collect();
        let (each, seconds) = slope(&line);
        assert!((each - 3.0).abs() < 1e-9 && (seconds - 49.0).abs() < 1e-9);
        let level: Vec<_> = (0..50).map(|at| (f64::from(at), f64::from(at % 2))).collect();
        assert!(slope(&level).0.abs() < 0.002);
        assert_eq!(slope(&[]), (0.0, 0.0));
    }
}
