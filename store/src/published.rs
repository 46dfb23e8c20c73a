//! The one shared pointer of the process, with a stamp that is checked.
//!
//! Readers never wait and never see half of a value. `arc-swap` has had bugs in which a load returned a value stored in
//! another cell or an older one; so every value carries which cell it was stored in and its generation, and a load that
//! finds the wrong stamp returns nothing, which every caller reads as *not serving*. Invariant: generations seen by one
//! reader never go backwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

static CELLS: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
struct Stamped<T> {
    cell: u64,
    generation: u64,
    value: Arc<T>,
}

/// A cell with one writer and many readers, empty at first.
#[derive(Debug)]
pub(crate) struct Published<T> {
    cell: u64,
    /// A generation that has been stored; a load that starts later must not find less.
    floor: AtomicU64,
    current: ArcSwapOption<Stamped<T>>,
}

impl<T> Published<T> {
    pub(crate) fn empty() -> Self {
        let cell = CELLS.fetch_add(1, Ordering::Relaxed);
        Self { cell, floor: AtomicU64::new(0), current: ArcSwapOption::empty() }
    }

    /// Makes `value` the current one. Generations must grow.
    pub(crate) fn publish(&self, generation: u64, value: Arc<T>) {
        self.current.store(Some(Arc::new(Stamped { cell: self.cell, generation, value })));
        self.floor.fetch_max(generation, Ordering::Release);
    }

    /// The current value.
    pub(crate) fn load(&self) -> Option<Arc<T>> {
        let floor = self.floor.load(Ordering::Acquire);
        let guard = self.current.load();
        let stamped = guard.as_ref()?;
        if stamped.cell != self.cell || stamped.generation < floor {
            tracing::error!(
                generation = stamped.generation,
                floor,
                foreign = stamped.cell != self.cell,
                "the published pointer led to a wrong value; refusing to serve it"
            );
            return None;
        }
        Some(Arc::clone(&stamped.value))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn readers_see_generations_grow() {
        let cell = Published::empty();
        assert_eq!(cell.load(), None::<Arc<u64>>);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let seen = cell.load().map_or(0, |value| *value);
                        assert!(seen >= last, "{seen} after {last}");
                        last = seen;
                    }
                });
            }
            for generation in 1..=20_000 {
                cell.publish(generation, Arc::new(generation));
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(cell.load().as_deref(), Some(&20_000));
    }

    #[test]
    fn a_value_of_another_cell_or_an_older_one_is_refused() {
        let cell = Published::empty();
        cell.publish(2, Arc::new("second"));
        let stamped =
            |cell, generation| Some(Arc::new(Stamped { cell, generation, value: Arc::new("wrong") }));
        cell.current.store(stamped(cell.cell + 1, 3));
        assert_eq!(cell.load(), None);
        cell.current.store(stamped(cell.cell, 1));
        assert_eq!(cell.load(), None);
    }
}
