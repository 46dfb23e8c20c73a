//! The primitives that the queue uses, over shuttle's, which tries one order of threads after another.
//!
//! A wait with a time may end at any moment, or never: which of both is drawn anew for each wait. So a wake-up that is
//! missing shows as a deadlock also where a time would hide it, and a time that is over shows in every order.

use std::ops::{Deref, DerefMut};
use std::sync::LockResult;
pub(super) use std::sync::PoisonError;
use std::time::Duration;

use shuttle::rand::{Rng as _, thread_rng};

#[derive(Debug)]
pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

/// Knows its mutex, so that a wait whose time is over can let go of it and take it again.
#[derive(Debug)]
pub(super) struct MutexGuard<'m, T> {
    guard: shuttle::sync::MutexGuard<'m, T>,
    mutex: &'m Mutex<T>,
}

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        // A thread of the model that panics ends the model.
        Ok(MutexGuard { guard: self.0.lock().unwrap(), mutex: self })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[derive(Debug)]
pub(super) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(super) fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    pub(super) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(super) fn wait_while<'m, T>(
        &self,
        mut held: MutexGuard<'m, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'m, T>> {
        while condition(&mut held) {
            let MutexGuard { guard, mutex } = held;
            held = MutexGuard { guard: self.0.wait(guard).unwrap(), mutex };
        }
        Ok(held)
    }

    pub(super) fn wait_timeout_while<'m, T>(
        &self,
        held: MutexGuard<'m, T>,
        _time: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'m, T>, ())> {
        if thread_rng().gen_bool(0.5) {
            let MutexGuard { guard, mutex } = held;
            drop(guard);
            shuttle::thread::yield_now();
            return Ok((mutex.lock().unwrap(), ()));
        }
        Ok((self.wait_while(held, condition).unwrap(), ()))
    }
}
