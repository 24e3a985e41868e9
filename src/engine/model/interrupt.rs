//! Flags that stop a computation whose result is not wanted any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Tells a model, during a step, whether the step is still wanted.
#[derive(Debug, Clone, Copy)]
pub struct Interrupt<'a> {
    /// The cancel flags of the requests in the step.
    pub requests: &'a [CancelFlag],
    /// Set when the engine is to stop.
    pub stop: &'a CancelFlag,
}

impl Interrupt<'_> {
    /// Whether the step is to be abandoned: the engine stops, or every request in the step was
    /// cancelled. Only reads flags, so it may be called often and from any thread of the backend.
    pub fn is_due(&self) -> bool {
        self.stop.is_set() || self.requests.iter().all(CancelFlag::is_set)
    }
}
