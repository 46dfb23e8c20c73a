//! When a call is sent again, and how soon.
//!
//! Invariant: the budget bounds what retries add to the load of a sidecar in trouble, whatever the callers do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};
use tower::retry::backoff::{Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff as _};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::util::rng::HasherRng;

use crate::error::Error;

/// Attempts of one call unless told otherwise.
const ATTEMPTS_MAX: u32 = 4;
/// The first pause and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// How much of a pause is left to chance, so that callers do not come back together.
const JITTER: f64 = 0.5;
/// Calls that pay for retries are remembered for so long.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// Retries that are always affordable, for callers that ask seldom; each second.
const BUDGET_FLOOR: u32 = 10;
/// Retries that answered calls pay for: one for five.
const BUDGET_SHARE: f32 = 0.2;

/// How often calls are sent again.
#[derive(Clone)]
pub(crate) struct Retries {
    pub(crate) attempts_max: u32,
    budget: Arc<TpsBudget>,
    pauses: ExponentialBackoffMaker,
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries").field("attempts_max", &self.attempts_max).finish_non_exhaustive()
    }
}

impl Retries {
    pub(crate) const ATTEMPTS_MAX: u32 = ATTEMPTS_MAX;

    /// # Errors
    /// Never; the pauses are valid.
    pub(crate) fn new(attempts_max: u32) -> Result<Self, Error> {
        let pauses = ExponentialBackoffMaker::new(PAUSE.0, PAUSE.1, JITTER, HasherRng::new())
            .map_err(|_| Error::Answer("the pauses between attempts are not in order"))?;
        let budget = Arc::new(TpsBudget::new(BUDGET_WINDOW, BUDGET_FLOOR, BUDGET_SHARE));
        Ok(Self { attempts_max: attempts_max.max(1), budget, pauses })
    }

    /// A call was answered and pays for retries of others.
    pub(crate) fn answered(&self) {
        self.budget.deposit();
    }

    /// Whether one more retry is affordable.
    pub(crate) fn may(&self) -> bool {
        self.budget.withdraw()
    }

    pub(crate) fn pauses(&self) -> Pauses {
        Pauses(self.pauses.clone().make_backoff())
    }
}

/// The pauses of one call; each longer than the last.
#[derive(Debug)]
pub(crate) struct Pauses(ExponentialBackoff);

impl Pauses {
    pub(crate) async fn next(&mut self) {
        self.0.next_backoff().await;
    }
}

/// What became of an attempt that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody took it up: it never left this process, or came to a connection that the sidecar had just ended in good
    /// order. To send it again costs nobody anything.
    NotSent,
    /// The connection is gone, or the sidecar cannot answer now.
    Unanswered,
    /// It was answered with an error.
    Ended,
}

impl Fate {
    pub(crate) fn of(status: &Status) -> Self {
        let mut cause = std::error::Error::source(status);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_canceled() {
                    return Self::NotSent;
                }
                if error.is_closed() || error.is_incomplete_message() {
                    return Self::Unanswered;
                }
            }
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                return Self::of_h2(error);
            }
            if error.is::<std::io::Error>() {
                return Self::Unanswered;
            }
            cause = error.source();
        }
        match status.code() {
            Code::Unavailable => Self::Unanswered,
            _ => Self::Ended,
        }
    }

    fn of_h2(error: &h2::Error) -> Self {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        if error.is_remote()
            && (refused || (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)))
        {
            return Self::NotSent;
        }
        if error.is_io() || error.is_go_away() { Self::Unanswered } else { Self::Ended }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_have_answered_is_sent_again() {
        for (code, fate) in [
            (Code::Unavailable, Fate::Unanswered),
            (Code::Cancelled, Fate::Ended),
            (Code::DeadlineExceeded, Fate::Ended),
            (Code::ResourceExhausted, Fate::Ended),
            (Code::InvalidArgument, Fate::Ended),
            (Code::Internal, Fate::Ended),
            (Code::Unknown, Fate::Ended),
        ] {
            assert_eq!(Fate::of(&Status::new(code, "x")), fate, "{code:?}");
        }
        let reset = h2::Error::from(h2::Reason::INTERNAL_ERROR);
        assert_eq!(Fate::of(&Status::from_error(Box::new(reset))), Fate::Ended);
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Fate::of(&Status::from_error(Box::new(broken))), Fate::Unanswered);
    }

    #[tokio::test]
    async fn retries_are_bounded_by_a_budget() {
        let retries = Retries::new(ATTEMPTS_MAX).unwrap();
        let affordable = (0..10_000).filter(|_| retries.may()).count();
        assert!((1..=200).contains(&affordable), "{affordable}");
        for _ in 0..1_000 {
            retries.answered();
        }
        let paid = (0..10_000).filter(|_| retries.may()).count();
        assert!((150..=250).contains(&paid), "{paid} retries for 1,000 answered calls");
    }
}
