//! What happens in a client, told to whoever counts it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::request::Request;

/// Counts what happens. Called on the path of every question: it must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn observe(&self, event: &Event<'_>) {
        T::observe(self, event);
    }
}

/// Something that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A call ended, or a question of a [pipeline](crate::Pipeline) was answered or too late.
    Called {
        /// Its gRPC method, such as `Authorize`; of a pipeline's question `AuthorizeStream`.
        method: &'static str,
        /// From the first attempt to the end, waits included.
        elapsed: Duration,
        /// How often it was sent.
        attempts: u32,
        /// Why it failed, when it did.
        error: Option<&'a Error>,
    },
    /// A question was answered from the cache.
    CacheHit,
    /// A question was not in the cache, or could not be.
    CacheMiss,
    /// Everything in the cache was dropped: the policies changed, or it is not known any more whether they did.
    CacheDropped,
    /// There was no decision and the action was let through, because it is listed as one to let through then. Alert on
    /// this.
    FailedOpen {
        /// What was asked.
        request: &'a Request,
        /// Why there is no decision.
        error: &'a Error,
    },
}
