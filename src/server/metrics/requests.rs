//! Counts the ends of requests, and measures the time to their first text.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::{Code, Distribution};

/// What is counted about requests since the start.
#[derive(Debug)]
pub(in crate::server) struct RequestCounts {
    /// Requests that ended or were refused, by code.
    ends: [AtomicU64; Code::ALL.len()],
    first_texts: Mutex<FirstTexts>,
}

#[derive(Debug)]
struct FirstTexts {
    times: Distribution,
    last: Option<Duration>,
}

impl Default for RequestCounts {
    fn default() -> Self {
        let first_texts = FirstTexts { times: Distribution::of_durations(), last: None };
        Self { ends: array::from_fn(|_| AtomicU64::new(0)), first_texts: Mutex::new(first_texts) }
    }
}

impl RequestCounts {
    /// Counts a request that ended or was refused. To be called once for each.
    pub(in crate::server) fn ended(&self, code: Code) {
        self.ends[code as usize].fetch_add(1, Relaxed);
    }

    /// Records the time to first token of a request.
    pub(in crate::server) fn first_text(&self, ttft: Duration) {
        let mut first_texts = self.lock();
        first_texts.times.observe(ttft);
        first_texts.last = Some(ttft);
    }

    /// Requests by the code that they ended or were refused with.
    pub(super) fn ends(&self) -> Vec<(Code, u64)> {
        let codes = Code::ALL.iter().filter(|code| code.ends_a_request());
        codes.map(|&code| (code, self.ends[code as usize].load(Relaxed))).collect()
    }

    /// The times to first token.
    pub(super) fn ttft(&self) -> Distribution {
        self.lock().times.clone()
    }

    /// The time to first token of the request that started last; `None` before the first.
    pub(super) fn last_ttft(&self) -> Option<Duration> {
        self.lock().last
    }

    fn lock(&self) -> MutexGuard<'_, FirstTexts> {
        // The times are valid after every statement, so a panic cannot have broken them.
        self.first_texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_count_of_its_own() {
        let counts = RequestCounts::default();
        for (n, &code) in Code::ALL.iter().enumerate() {
            (0..=n).for_each(|_| counts.ended(code));
        }
        for (code, count) in counts.ends() {
            assert_eq!(count, code as u64 + 1, "{code:?}");
        }
    }
}
