//! The number of compute threads, which follows the CPUs that other programs leave (ADR-0031).
//!
//! [`AdaptiveThreads`] is asked before every step. While the engine computes, it reads the system's
//! counters ([`CpuCounters`]) a few times per second, and [`ThreadPolicy`] decides by them. An idle
//! engine reads nothing. Without these counters, as on other systems than Linux, the number never
//! changes.

mod counters;
mod policy;

use std::time::{Duration, Instant};

use self::counters::CpuCounters;
use self::policy::ThreadPolicy;

/// Chooses the number of compute threads of each step.
pub(in crate::llama) struct AdaptiveThreads {
    policy: ThreadPolicy,
    /// When the counters were read last, and their values; `None` if the system has no counters.
    last_reading: (Instant, Option<CpuCounters>),
    /// When the last step ended.
    computed_until: Instant,
}

impl AdaptiveThreads {
    /// Starts with `max` threads, which is also the most. The CPU times count from `now` on.
    pub(in crate::llama) fn new(max: u32, now: Instant) -> Self {
        Self {
            policy: ThreadPolicy::new(max),
            last_reading: (now, CpuCounters::read()),
            computed_until: now,
        }
    }

    /// The number of threads for the step that begins `now`, if it differs from that of the step
    /// before.
    pub(super) fn before_step(&mut self, now: Instant) -> Option<u32> {
        let elapsed = now.duration_since(self.last_reading.0);
        if elapsed < INTERVAL {
            return None;
        }
        let counters = CpuCounters::read();
        let (_, before) = std::mem::replace(&mut self.last_reading, (now, counters));
        let was_idle = now.duration_since(self.computed_until) >= INTERVAL;
        let sample = counters?.sample_since(before?, elapsed, was_idle)?;
        let n_threads = self.policy.change(sample)?;
        tracing::debug!(
            "compute threads: {n_threads}, available CPUs: {:.1} of {}",
            sample.available,
            sample.n_cpus
        );
        Some(n_threads)
    }

    /// Notes that a step ended `now`.
    pub(super) fn after_step(&mut self, now: Instant) {
        self.computed_until = now;
    }
}

/// Least time between two readings. Linux counts in units of 10 ms, so a shorter time would not say
/// enough.
const INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_once_per_interval_at_most() {
        let start = Instant::now();
        let mut threads = AdaptiveThreads::new(2, start);
        assert_eq!(threads.before_step(start + INTERVAL / 2), None);
        assert_eq!(threads.last_reading.0, start, "too early");
        threads.after_step(start + INTERVAL / 2);
        threads.before_step(start + INTERVAL);
        assert_eq!(threads.last_reading.0, start + INTERVAL);
    }
}
