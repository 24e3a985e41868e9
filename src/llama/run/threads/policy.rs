//! Decides from CPU times how many threads compute.
//!
//! A thread that shares its CPU delays all others, so there are no more threads than CPUs that
//! other programs leave. The number shrinks after one sample and grows after several, so that a
//! short pause of another program does not change it.

/// What the CPUs did between two readings of the counters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CpuSample {
    /// Number of CPUs that this process may use.
    pub(super) n_cpus: u32,
    /// How many of them were idle or ran this process, on average.
    pub(super) available: f64,
    /// Number of other threads that could run at the end, on all CPUs.
    pub(super) n_others: u32,
    /// Whether the engine was idle before the end.
    pub(super) was_idle: bool,
}

/// The number of threads, and what is needed to change it.
#[derive(Debug)]
pub(super) struct ThreadPolicy {
    /// The most threads.
    max: u32,
    /// The number of threads now.
    n_threads: u32,
    /// Number of samples in a row after which there could be more threads.
    n_growing: u32,
}

impl ThreadPolicy {
    /// Starts with `max` threads, which is also the most.
    pub(super) fn new(max: u32) -> Self {
        Self { max, n_threads: max, n_growing: 0 }
    }

    /// The number of threads after `sample`, if it changes.
    pub(super) fn change(&mut self, sample: CpuSample) -> Option<u32> {
        let before = self.n_threads;
        let available = available(sample);
        let fitting = |tolerance: f64| ((available + tolerance) as u32).clamp(1, self.max);
        let (kept, wanted) = (fitting(TOLERATED_LOAD), fitting(UNUSED_LOAD));
        if kept < self.n_threads {
            self.n_threads = kept;
            self.n_growing = 0;
        } else if wanted > self.n_threads {
            self.n_growing += 1;
            if sample.was_idle || self.n_growing == GROWING_SAMPLES {
                self.n_threads = wanted;
                self.n_growing = 0;
            }
        } else {
            self.n_growing = 0;
        }
        (self.n_threads != before).then_some(self.n_threads)
    }
}

/// How many CPUs this process can use. While the engine was idle, other programs may have ended,
/// such as the client before it sent its request. So a program counts only if it could run at the
/// end as well.
fn available(sample: CpuSample) -> f64 {
    let at_the_end = f64::from(sample.n_cpus.saturating_sub(sample.n_others));
    if sample.was_idle { sample.available.max(at_the_end) } else { sample.available }
}

/// CPUs that other programs may use without a thread less. A program that is always busy and shares
/// a CPU with a thread uses half of the CPU or more (ADR-0031).
const TOLERATED_LOAD: f64 = 0.4;

/// CPUs that other programs may use if there is to be a thread more. Less than [`TOLERATED_LOAD`],
/// so that a load around one of them does not change the number again and again.
const UNUSED_LOAD: f64 = 0.25;

/// Samples in a row that must agree on more threads.
const GROWING_SAMPLES: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample of a computing engine on 2 CPUs.
    fn two_cpus(available: f64) -> CpuSample {
        CpuSample { n_cpus: 2, available, n_others: 0, was_idle: false }
    }

    /// A sample at the start of a request, on 2 CPUs.
    fn after_idle(available: f64, n_others: u32) -> CpuSample {
        CpuSample { n_cpus: 2, available, n_others, was_idle: true }
    }

    /// The numbers of threads after each sample, of at most `max`.
    fn threads<const N: usize>(max: u32, samples: [CpuSample; N]) -> [u32; N] {
        let mut policy = ThreadPolicy::new(max);
        samples.map(|sample| {
            let changed = policy.change(sample);
            assert!(changed.is_none_or(|n| n == policy.n_threads));
            policy.n_threads
        })
    }

    #[test]
    fn engine_alone_keeps_all_threads() {
        assert_eq!(threads(2, [2.0, 1.95, 2.1, 1.9].map(two_cpus)), [2, 2, 2, 2]);
        assert_eq!(threads(1, [1.0, 0.5, 0.1].map(two_cpus)), [1, 1, 1]);
    }

    #[test]
    fn light_load_of_other_programs_changes_nothing() {
        assert_eq!(threads(2, [1.9, 1.7, 1.8, 1.65].map(two_cpus)), [2, 2, 2, 2]);
    }

    #[test]
    fn busy_programs_take_a_thread_each_at_once() {
        // The first sample is of two threads beside the programs, the others of one.
        assert_eq!(threads(2, [1.5, 1.0, 1.05].map(two_cpus)), [1, 1, 1], "one program");
        assert_eq!(threads(2, [1.0, 0.6, 0.5].map(two_cpus)), [1, 1, 1], "two programs");
        assert_eq!(threads(2, [0.2, 0.05].map(two_cpus)), [1, 1], "many programs");
    }

    #[test]
    fn threads_return_when_two_samples_agree() {
        let comes_and_goes = [2.0, 1.4, 1.0, 1.3, 2.0, 2.0, 1.4, 2.0, 1.5, 2.0, 1.9];
        let expected = [2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2];
        assert_eq!(threads(2, comes_and_goes.map(two_cpus)), expected);
    }

    #[test]
    fn load_between_the_thresholds_changes_nothing() {
        assert_eq!(threads(2, [1.65, 1.7, 1.62].map(two_cpus)), [2, 2, 2], "from two threads");
        assert_eq!(threads(2, [1.5, 1.7, 1.74, 1.7].map(two_cpus)), [1, 1, 1, 1], "from one");
    }

    #[test]
    fn machine_with_more_cpus_loses_only_the_busy_ones() {
        let of_eight = |available| CpuSample { n_cpus: 8, ..two_cpus(available) };
        let samples = [8.0, 6.5, 5.6, 5.2, 4.9, 7.9, 8.0].map(of_eight);
        assert_eq!(threads(8, samples), [8, 6, 6, 5, 5, 5, 8]);
        let samples = [15.5, 10.0, 7.5, 9.0, 9.0].map(|a| CpuSample { n_cpus: 16, ..of_eight(a) });
        assert_eq!(threads(8, samples), [8, 8, 7, 7, 8], "two CPUs per core");
    }

    #[test]
    fn quota_below_the_number_of_cpus_bounds_the_threads() {
        let of_sixteen = |available| CpuSample { n_cpus: 16, ..two_cpus(available) };
        assert_eq!(threads(2, [16.0, 3.0, 1.2, 16.0, 16.0].map(of_sixteen)), [2, 2, 1, 1, 2]);
    }

    #[test]
    fn program_that_ended_before_the_request_is_ignored() {
        assert_eq!(threads(2, [after_idle(1.2, 0)]), [2], "the client's start");
        assert_eq!(threads(2, [after_idle(1.0, 1)]), [1], "a busy program");
        assert_eq!(threads(2, [after_idle(1.9, 1)]), [2], "a program that has just begun");
        assert_eq!(threads(2, [after_idle(0.3, 5)]), [1], "many busy programs");
    }

    #[test]
    fn idle_engine_gets_its_threads_back_with_the_first_step() {
        let samples = [after_idle(1.0, 1), after_idle(1.1, 0), after_idle(1.0, 2)];
        assert_eq!(threads(2, samples), [1, 2, 1]);
    }
}
