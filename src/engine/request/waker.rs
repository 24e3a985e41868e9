//! Wakes the engine thread.
//!
//! The engine thread sleeps while no slot can run. Every event that may change that wakes it: a new
//! or cancelled request, an outbox that was emptied, a shutdown.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A flag that the engine thread waits for. Setting it twice before the thread looks is the same
/// as setting it once.
#[derive(Debug, Default)]
pub(in crate::engine) struct EngineWaker {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl EngineWaker {
    /// Wakes the thread, or makes its next [`Self::wait`] return at once.
    pub(in crate::engine) fn wake(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// Clears the flag without waiting.
    pub(super) fn clear(&self) {
        *self.lock() = false;
    }

    /// Blocks until the flag is set or `limit` has passed, and clears the flag.
    pub(super) fn wait(&self, limit: Option<Duration>) {
        let is_clear = |is_set: &mut bool| !*is_set;
        let guard = self.lock();
        let mut guard = match limit {
            None => {
                self.changed.wait_while(guard, is_clear).unwrap_or_else(PoisonError::into_inner)
            }
            Some(limit) => {
                self.changed
                    .wait_timeout_while(guard, limit, is_clear)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        *guard = false;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A bool is always valid, so a panic of another thread cannot have broken it.
        self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_returns_at_once_after_wake_and_clears_the_flag() {
        let waker = EngineWaker::default();
        waker.wake();
        waker.wake();
        waker.wait(None);
        assert!(!*waker.lock());
        waker.wait(Some(Duration::ZERO));
    }

    #[test]
    fn wake_from_another_thread_ends_a_wait() {
        let waker = EngineWaker::default();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wait(None));
            waker.wake();
        });
        assert!(!*waker.lock());
    }
}
