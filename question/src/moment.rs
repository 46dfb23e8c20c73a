//! Clock readings as numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_engine::Instant;

/// A wall-clock time as the engine has it.
#[must_use]
pub fn moment(time: SystemTime) -> Instant {
    let (seconds, nanos) = since_epoch(time);
    Instant::new(seconds, nanos)
}

/// Whole seconds since 1970, rounded down, and the nanoseconds above them.
#[must_use]
pub fn since_epoch(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_before_the_epoch_keep_positive_nanoseconds() {
        assert_eq!(since_epoch(UNIX_EPOCH - Duration::from_millis(1)), (-1, 999_000_000));
        assert_eq!(since_epoch(UNIX_EPOCH - Duration::from_secs(2)), (-2, 0));
        assert_eq!(since_epoch(UNIX_EPOCH + Duration::from_millis(1500)), (1, 500_000_000));
    }
}
