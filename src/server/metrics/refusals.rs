//! Counts of the requests that the server refused before it submitted them to the engine.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::domain::Code;

/// Refused requests by code since the start. The engine counts the requests that it refuses
/// itself.
#[derive(Debug)]
pub(in crate::server) struct Refusals([AtomicU64; Code::ALL.len()]);

impl Default for Refusals {
    fn default() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Refusals {
    /// Counts one refused request.
    pub(in crate::server) fn count(&self, code: Code) {
        self.0[code as usize].fetch_add(1, Relaxed);
    }

    /// Requests refused with `code`.
    pub(super) fn get(&self, code: Code) -> u64 {
        self.0[code as usize].load(Relaxed)
    }
}
