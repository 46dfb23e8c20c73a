//! Should callers send requests here?
//!
//! Depends on the policy set and on the drain, never on callers. A policy set that is not what the directory holds is
//! served all the same, and counts as not ready only where a longest time was configured.

use std::time::Duration;

use portcullis_store::Status;

/// The answer, with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Yes.
    Ready,
    /// Yes, but the status says what is wrong.
    Degraded,
    /// No policy set has been loaded yet.
    NoPolicySet,
    /// The policy set has been stale for longer than allowed.
    Stale,
    /// The process is ending.
    Draining,
}

impl Readiness {
    /// Of a store; `stale_max` is the longest time that a policy set may be stale.
    pub(crate) fn of(status: &Status, stale_max: Option<Duration>) -> Self {
        if status.generation == 0 {
            return Self::NoPolicySet;
        }
        if stale_max.is_some_and(|max| status.stale() > max) {
            return Self::Stale;
        }
        if status.is_degraded() { Self::Degraded } else { Self::Ready }
    }

    pub(crate) fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }

    /// The word for pages, logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::NoPolicySet => "no policy set has been loaded yet",
            Self::Stale => "the policy set is stale",
            Self::Draining => "draining",
        }
    }
}

/// How long until a status that does not change is stale; none when it never will be.
pub(crate) fn until_stale(status: &Status, stale_max: Option<Duration>) -> Option<Duration> {
    let stale_max = stale_max?;
    status.stale_since?;
    // A moment past the bound, so that the bound is passed when one looks.
    Some(stale_max.saturating_sub(status.stale()) + Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn staleness_counts_only_where_it_is_bounded() {
        let mut status = Status::default();
        assert_eq!(Readiness::of(&status, None), Readiness::NoPolicySet);
        status.generation = 1;
        assert_eq!(Readiness::of(&status, Some(Duration::ZERO)), Readiness::Ready);
        assert_eq!(until_stale(&status, Some(Duration::ZERO)), None);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        status.stale_since = Some(long_ago);
        status.reloads.interrupted = true;
        assert_eq!(Readiness::of(&status, None), Readiness::Degraded);
        assert_eq!(Readiness::of(&status, Some(Duration::from_secs(1))), Readiness::Stale);
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(Readiness::of(&status, hour), Readiness::Degraded);
        let left = until_stale(&status, hour).unwrap();
        assert!(left < Duration::from_secs(3599) && left > Duration::from_secs(3000), "{left:?}");
    }
}
