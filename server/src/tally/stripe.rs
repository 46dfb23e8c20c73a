//! Counters in several copies, one for each of a few threads, so that adding does not pass a cache line around.
//!
//! A reading adds the copies up. It is no snapshot of one moment, but no addition is lost and none is seen twice.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Copies; a power of two. More threads than this share some.
const STRIPES: usize = 8;

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The copy this thread adds to; none until it adds for the first time.
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Decisions of this thread until one is due.
    static UNTIL_DUE: Cell<u64> = const { Cell::new(0) };
}

/// True for the first call of a thread and every `one_in`-th after it.
pub(super) fn is_due(one_in: u64) -> bool {
    UNTIL_DUE.with(|left| match left.get() {
        0 => {
            left.set(one_in.saturating_sub(1));
            true
        }
        more => {
            left.set(more - 1);
            false
        }
    })
}

fn stripe() -> usize {
    STRIPE.with(|stripe| {
        let known = stripe.get();
        if known != usize::MAX {
            return known;
        }
        let taken = NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES;
        stripe.set(taken);
        taken
    })
}

/// One copy, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe<const N: usize>([AtomicU64; N]);

/// `N` counters.
#[derive(Debug)]
pub(super) struct Striped<const N: usize>(Box<[Stripe<N>]>);

impl<const N: usize> Default for Striped<N> {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| Stripe([const { AtomicU64::new(0) }; N])).collect())
    }
}

impl<const N: usize> Striped<N> {
    /// One more; nothing for a slot that is not there.
    pub(super) fn add(&self, slot: usize) {
        if let Some(counter) = self.0.get(stripe()).and_then(|stripe| stripe.0.get(slot)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All copies together.
    pub(super) fn sum(&self, slot: usize) -> u64 {
        let counters = self.0.iter().filter_map(|stripe| stripe.0.get(slot));
        counters.fold(0, |sum, counter| sum.wrapping_add(counter.load(Ordering::Relaxed)))
    }
}
