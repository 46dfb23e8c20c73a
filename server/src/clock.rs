//! Notices that the wall clock jumped: policies with dates in them decide by it.
//!
//! Compares the wall clock with the monotonic one. Nothing in this process waits by the wall clock, so a jump changes
//! decisions that depend on the time and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::tally::Tally;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Less than this between two looks is a clock that is being slewed, or a machine that is busy.
const STEP_MIN: Duration = Duration::from_millis(500);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: SystemTime,
    monotonic: Instant,
}

impl Moment {
    fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// By how much the wall clock went another way than the monotonic one, and whether back.
    fn drift(self, earlier: Self) -> (Duration, bool) {
        let passed = self.monotonic.saturating_duration_since(earlier.monotonic);
        match self.wall.duration_since(earlier.wall) {
            Ok(wall) => (wall.abs_diff(passed), wall < passed),
            Err(back) => (back.duration().saturating_add(passed), true),
        }
    }
}

/// Looks until it is dropped.
pub(crate) async fn watch(tally: Arc<Tally>) {
    let mut last = Moment::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = Moment::now();
        let (drift, back) = now.drift(last);
        if drift > STEP_MIN {
            tally.clock_steps.add();
            tracing::warn!(seconds = drift.as_secs_f64(), back, "the wall clock jumped");
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_in_either_direction_is_drift() {
        let start = Moment::now();
        let after = |wall: SystemTime| Moment { wall, monotonic: start.monotonic + Duration::from_secs(1) };
        let hour = Duration::from_secs(3600);
        let second = Duration::from_secs(1);
        assert_eq!(after(start.wall + second).drift(start), (Duration::ZERO, false));
        assert_eq!(after(start.wall + second + hour).drift(start), (hour, false));
        assert_eq!(after(start.wall + second - hour).drift(start), (hour, true));
        let (back, _) = after(SystemTime::UNIX_EPOCH).drift(start);
        assert!(back > hour);
    }
}
