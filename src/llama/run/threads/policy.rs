//! Decides from CPU times how many threads compute.
//!
//! A thread that shares its CPU delays all others, so there are no more threads than CPUs that
//! other programs leave. The number shrinks after one sample and grows after several. If a growth
//! did not last, the next one needs twice as many, so that a program with short pauses does not
//! change the number again and again.

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
    /// Number of samples in a row that agreed on more threads.
    n_agreeing: u32,
    /// Number of such samples that a growth needs.
    n_needed: u32,
    /// Number of samples since the last growth.
    n_since_growth: u32,
}

impl ThreadPolicy {
    /// Starts with `max` threads, which is also the most.
    pub(super) fn new(max: u32) -> Self {
        Self {
            max,
            n_threads: max,
            n_agreeing: 0,
            n_needed: MIN_AGREEING_SAMPLES,
            n_since_growth: LASTING_SAMPLES,
        }
    }

    /// The number of threads after `sample`, if it changes.
    pub(super) fn change(&mut self, sample: CpuSample) -> Option<u32> {
        let before = self.n_threads;
        let available = available(sample);
        let fitting = |tolerance: f64| ((available + tolerance) as u32).clamp(1, self.max);
        let (kept, wanted) = (fitting(TOLERATED_LOAD), fitting(UNUSED_LOAD));
        self.n_agreeing = if wanted > before { self.n_agreeing + 1 } else { 0 };
        self.n_since_growth = self.n_since_growth.saturating_add(1);
        if kept < before {
            self.shrink(kept);
        } else if self.n_agreeing >= self.n_needed || wanted > before && sample.was_idle {
            self.n_threads = wanted;
            self.n_agreeing = 0;
            self.n_since_growth = 0;
        }
        (self.n_threads != before).then_some(self.n_threads)
    }

    fn shrink(&mut self, n_threads: u32) {
        self.n_threads = n_threads;
        let has_lasted = self.n_since_growth >= LASTING_SAMPLES;
        self.n_needed = if has_lasted {
            MIN_AGREEING_SAMPLES
        } else {
            (2 * self.n_needed).min(MAX_AGREEING_SAMPLES)
        };
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
const TOLERATED_LOAD: f64 = 0.45;

/// CPUs that other programs may use if there is to be a thread more. Less than [`TOLERATED_LOAD`],
/// so that a load around one of them does not change the number again and again.
const UNUSED_LOAD: f64 = 0.35;

/// Least number of samples in a row that must agree on more threads.
const MIN_AGREEING_SAMPLES: u32 = 2;

/// Most samples in a row that must agree on more threads: not more than two seconds after another
/// program has ended, all threads compute again.
const MAX_AGREEING_SAMPLES: u32 = 8;

/// Number of samples after which a growth has lasted: about two seconds.
const LASTING_SAMPLES: u32 = 10;

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
        let comes_and_goes = [2.0, 1.4, 1.0, 1.3, 2.0, 1.4, 2.0, 1.5, 2.0, 1.9];
        let expected = [2, 1, 1, 1, 1, 1, 1, 1, 1, 2];
        assert_eq!(threads(2, comes_and_goes.map(two_cpus)), expected);
    }

    #[test]
    fn load_between_the_thresholds_changes_nothing() {
        assert_eq!(threads(2, [1.6, 1.64, 1.56].map(two_cpus)), [2, 2, 2], "from two threads");
        assert_eq!(threads(2, [1.5, 1.6, 1.64, 1.6].map(two_cpus)), [1, 1, 1, 1], "from one");
    }

    #[test]
    fn growth_that_did_not_last_makes_the_next_one_slower() {
        let samples = [1.4, 2.0, 2.0, 1.4, 2.0, 2.0, 2.0, 2.0, 1.4, 2.0, 2.0, 2.0, 2.0, 2.0];
        let expected = [1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1];
        assert_eq!(threads(2, samples.map(two_cpus)), expected);
    }

    #[test]
    fn growth_that_lasted_makes_the_next_one_fast_again() {
        let mut policy = ThreadPolicy::new(2);
        let mut after = |samples: &[f64]| {
            samples.iter().for_each(|&available| _ = policy.change(two_cpus(available)));
            policy.n_threads
        };
        assert_eq!(after(&[1.4, 2.0, 2.0, 1.4, 2.0, 2.0, 2.0]), 1, "four samples are needed");
        assert_eq!(after(&[2.0; LASTING_SAMPLES as usize]), 2);
        assert_eq!(after(&[1.4, 2.0, 2.0]), 2, "two samples are needed again");
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
