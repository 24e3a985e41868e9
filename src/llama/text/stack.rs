//! Runs work on a large stack, without a thread for it.
//!
//! Chat templates and llama.cpp's regular expressions recurse as deep as their input is long. The
//! stack is address space that takes memory only when it is used.

use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;

/// Why work on a large stack has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum StackError {
    /// The system has no address space for it.
    #[error("there is no memory for a stack of {} MiB", .0 >> 20)]
    NoMemory(usize),
    /// The work panicked.
    #[error("it panicked")]
    Panicked,
}

/// Runs `work` on a stack of `n_bytes`.
///
/// # Errors
/// There is no memory for the stack, or `work` panicked.
pub(super) fn on_large_stack<T>(n_bytes: usize, work: impl FnOnce() -> T) -> Result<T, StackError> {
    let mut result = None;
    let run = || result = Some(catch_unwind(AssertUnwindSafe(work)));
    // Panics if it cannot allocate the stack. `work` has then not been called.
    let _ = catch_unwind(AssertUnwindSafe(|| stacker::grow(n_bytes, run)));
    match result {
        Some(result) => result.map_err(|_| StackError::Panicked),
        None => Err(StackError::NoMemory(n_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses more than a kilobyte of stack for each level.
    fn recurse(depth: usize) -> usize {
        let frame = std::hint::black_box([depth as u8; 1024]);
        if depth == 0 { 0 } else { 1 + recurse(depth - 1) + usize::from(frame[0]) / 256 }
    }

    #[test]
    fn work_has_the_stack_that_it_asks_for() {
        assert_eq!(on_large_stack(64 << 20, || recurse(40_000)), Ok(40_000));
    }

    #[test]
    fn stack_that_cannot_be_allocated_or_a_panic_is_an_error() {
        let n_bytes = 1 << 60;
        assert_eq!(on_large_stack(n_bytes, || 0), Err(StackError::NoMemory(n_bytes)));
        let panicked = on_large_stack(1 << 20, || -> u8 { panic!("expected by the test") });
        assert_eq!(panicked, Err(StackError::Panicked));
    }
}
