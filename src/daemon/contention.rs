//! Warns when other programs starve the engine threads of CPU time.
//!
//! Runs in the runner, whose threads it reads. llama.cpp's threads wait for each other some hundred
//! times per step, so a single thread that has to share its CPU slows down all of them (ADR-0024).
//! By default the model therefore computes with fewer threads then (ADR-0031), and the warning is
//! for what that cannot help: a fixed number of threads, or a single thread without a CPU. Linux
//! counts how long each thread was runnable without a CPU. On other systems there is no warning.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Checks once per [`CHECK_INTERVAL`] how much of its time the engine waits for a CPU, and warns
/// when that becomes too much. `can_lower_threads` says whether fewer threads would help: several
/// compute, and their number is fixed. Never returns.
pub(super) async fn watch(can_lower_threads: bool) -> Infallible {
    let mut ticks = interval(CHECK_INTERVAL);
    // After the machine was suspended, one check is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut warning) = (CpuTimes::default(), ContentionWarning::default());
    loop {
        ticks.tick().await;
        let now = CpuTimes::of_engine_threads();
        if let Some(waited) = now.waited_fraction_since(before)
            && warning.is_due(waited)
        {
            tracing::warn!(
                "the engine waits for a CPU {:.0} % of the time: {}",
                100.0 * waited,
                if can_lower_threads { TOO_MANY_THREADS } else { TOO_FEW_CPUS }
            );
        }
        before = now;
    }
}

/// What the warning says if the user chose several threads, which wait for each other.
const TOO_MANY_THREADS: &str = "lower --threads";

/// What the warning says if no other number of threads would help.
const TOO_FEW_CPUS: &str = "other programs use the CPUs";

/// Total times of the engine threads since they started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct CpuTimes {
    /// Time on a CPU.
    ran: Duration,
    /// Time in which they were runnable without a CPU.
    waited: Duration,
}

impl CpuTimes {
    /// The times of all threads of this process that are named as the engine thread is; zero if the
    /// system does not report them. llama.cpp's compute threads inherit the name from the engine
    /// thread, which starts them.
    #[cfg(target_os = "linux")]
    fn of_engine_threads() -> Self {
        use procfs::process::Process;

        use crate::engine::ENGINE_THREAD_NAME;

        let mut times = Self::default();
        let Ok(threads) = Process::myself().and_then(|process| process.tasks()) else {
            return times;
        };
        for thread in threads.flatten() {
            // The thread may end between these calls.
            if thread.stat().is_ok_and(|stat| stat.comm == ENGINE_THREAD_NAME)
                && let Ok(thread) = thread.schedstat()
            {
                times.ran += Duration::from_nanos(thread.sum_exec_runtime);
                times.waited += Duration::from_nanos(thread.run_delay);
            }
        }
        times
    }

    /// No times: this system does not report them.
    #[cfg(not(target_os = "linux"))]
    fn of_engine_threads() -> Self {
        Self::default()
    }

    /// Waiting time as a fraction of all runnable time since `before`, 0 to 1. `None` if the
    /// threads had little to do, or if one has ended and its times are missing.
    fn waited_fraction_since(self, before: Self) -> Option<f64> {
        let ran = self.ran.checked_sub(before.ran)?;
        let waited = self.waited.checked_sub(before.waited)?;
        let runnable = (ran + waited).as_secs_f64();
        (runnable >= MIN_RUNNABLE * CHECK_INTERVAL.as_secs_f64())
            .then(|| waited.as_secs_f64() / runnable)
    }
}

/// Remembers whether the warning was given, so that it is given once per period of contention.
#[derive(Debug, Default)]
struct ContentionWarning {
    is_given: bool,
}

impl ContentionWarning {
    /// Whether to warn, if the engine waited for this fraction of its time.
    fn is_due(&mut self, waited: f64) -> bool {
        let was_given = self.is_given;
        self.is_given = waited >= if was_given { CONTENTION_ENDS } else { CONTENTION_BEGINS };
        self.is_given && !was_given
    }
}

/// Time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Fraction of the interval below which the threads had too little to do to judge.
const MIN_RUNNABLE: f64 = 0.25;

/// Fraction of waiting time that is contention. The server itself causes about 0.03 (ADR-0024).
const CONTENTION_BEGINS: f64 = 0.25;

/// Fraction below which contention has ended. Lower than [`CONTENTION_BEGINS`], so that values
/// around one threshold do not repeat the warning.
const CONTENTION_ENDS: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ran: u64, waited: u64) -> CpuTimes {
        CpuTimes { ran: Duration::from_secs(ran), waited: Duration::from_secs(waited) }
    }

    #[test]
    fn waiting_time_is_a_fraction_of_the_runnable_time() {
        let (before, after) = (times(2, 1), times(6, 5));
        assert_eq!(after.waited_fraction_since(before), Some(0.5));
        assert_eq!(before.waited_fraction_since(after), None, "a thread has ended");
        assert_eq!(times(1, 1).waited_fraction_since(times(0, 0)), None, "little to do");
    }

    #[test]
    fn contention_warning_is_given_once_until_contention_ends() {
        let mut warning = ContentionWarning::default();
        let due = [0.03, 0.3, 0.5, 0.2, 0.3, 0.05, 0.2, 0.3].map(|waited| warning.is_due(waited));
        assert_eq!(due, [false, true, false, false, false, false, false, true]);
    }
}
