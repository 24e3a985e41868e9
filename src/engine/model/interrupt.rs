//! Flags that stop a computation whose result is not wanted any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A flag that is set once and never cleared. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Sets the flag.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Says whether the engine is to stop, and counts how often that was asked. A model that asks
/// during a step thereby shows that it makes progress.
#[derive(Debug, Default)]
pub struct StopFlag {
    is_set: AtomicBool,
    n_polls: AtomicU64,
}

impl StopFlag {
    /// Sets the flag.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.n_polls.fetch_add(1, Ordering::Relaxed);
        self.is_set.load(Ordering::Acquire)
    }

    /// How often [`Self::is_set`] was called.
    pub fn n_polls(&self) -> u64 {
        self.n_polls.load(Ordering::Relaxed)
    }
}

/// Tells a model, during a step, whether the step is still wanted.
#[derive(Debug, Clone, Copy)]
pub struct Interrupt<'a> {
    /// The cancel flags of the requests in the step.
    pub requests: &'a [CancelFlag],
    /// Set when the engine is to stop.
    pub stop: &'a StopFlag,
}

impl Interrupt<'_> {
    /// Whether the step is to be abandoned: the engine stops, or every request in the step was
    /// cancelled. Only reads flags, so it may be called often and from any thread of the backend.
    pub fn is_due(&self) -> bool {
        self.stop.is_set() || self.requests.iter().all(CancelFlag::is_set)
    }
}
