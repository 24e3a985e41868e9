//! What the fuzz targets share: limits on memory and CPU time per input.
//!
//! A target is a program that libFuzzer calls with one input after another. A panic is a find. The
//! targets panic themselves if a property does not hold, and [`bounded`] if an input takes more
//! memory or time than its length allows. `make fuzz` builds and runs them.

use std::time::Duration;

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

/// Counts what Rust allocates. What llama.cpp allocates is limited by libFuzzer's limit on the
/// memory of the process.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What one input may take.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes of memory for any input.
    pub bytes: usize,
    /// Bytes of memory for each byte of the input.
    pub bytes_per_byte: usize,
    /// CPU time of all threads for any input.
    pub time: Duration,
    /// CPU time for each byte of the input.
    pub time_per_byte: Duration,
}

/// Runs `work` on an input of `n_bytes` and returns its result.
///
/// # Panics
/// If `work` takes more memory or CPU time than `budget` has for the input.
pub fn bounded<T>(budget: Budget, n_bytes: usize, work: impl FnOnce() -> T) -> T {
    ALLOCATOR.reset_peak_usage();
    let (held, start) = (ALLOCATOR.current_usage(), cpu_time());
    let result = work();
    let taken = ALLOCATOR.peak_usage().saturating_sub(held);
    let time = cpu_time().saturating_sub(start);
    let max_bytes = budget.bytes + budget.bytes_per_byte * n_bytes;
    assert!(taken <= max_bytes, "{n_bytes} bytes took {taken} bytes of memory");
    let max_time = budget.time + budget.time_per_byte * u32::try_from(n_bytes).unwrap_or(u32::MAX);
    assert!(time <= max_time, "{n_bytes} bytes took {time:?} of CPU time");
    result
}

/// CPU time of this process so far. A busy machine does not change it much.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Asserts that `message` is one line of bounded length, as every message to a user must be.
///
/// # Panics
/// If it is not.
pub fn assert_plain_line(message: &str) {
    assert!(!message.is_empty(), "the message is empty");
    let is_plain = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
    assert!(message.chars().all(is_plain), "not one plain line: {message:?}");
    assert!(message.len() <= MAX_LINE_BYTES, "{} bytes: {message:?}", message.len());
}

/// Longest message in bytes: a path and a reason, both of which are cut.
const MAX_LINE_BYTES: usize = 2500;
