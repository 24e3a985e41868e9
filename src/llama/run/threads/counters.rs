//! Reads the CPU times that Linux counts.
//!
//! The times of the CPUs are in `/proc/stat`, those of this process in `/proc/self/stat`, those of
//! its parent, the daemon, in `/proc/PID/stat`, and `/proc/thread-self/status` lists the CPUs that
//! the calling thread may use (proc(5)). What is neither idle nor used by these two processes
//! belongs to other programs, or to other virtual machines.

use std::fs;
use std::time::Duration;

use super::policy::CpuSample;

/// Times since the start of the system, in ticks of 10 ms, and what runs at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuCounters {
    /// Number of CPUs that this process may use.
    n_cpus: u32,
    /// Time in which they were idle.
    idle: u64,
    /// CPU time of this process and its parent.
    own: u64,
    /// Number of threads on the system that run or could run.
    n_runnable: u32,
}

impl CpuCounters {
    /// The counters now; `None` if the system does not have them.
    pub(super) fn read() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let read = |path| fs::read_to_string(path).ok();
        let process = read("/proc/self/stat")?;
        let parent = parent_of(&process)
            .and_then(|parent| fs::read_to_string(format!("/proc/{parent}/stat")).ok())
            .unwrap_or_default();
        let counters =
            Self::parse(&read("/proc/stat")?, &process, &read("/proc/thread-self/status")?)?;
        Some(Self { own: counters.own + process_ticks(&parent).unwrap_or(0), ..counters })
    }

    fn parse(cpus: &str, process: &str, status: &str) -> Option<Self> {
        let allowed = allowed_cpus(status)?;
        let (mut n_cpus, mut idle, mut n_runnable) = (0, 0, 0);
        for line in cpus.lines() {
            let (name, values) = line.split_once(' ')?;
            if let Some(Ok(cpu)) = name.strip_prefix("cpu").map(str::parse) {
                if allowed.iter().any(|&(first, last)| (first..=last).contains(&cpu)) {
                    n_cpus += 1;
                    idle += idle_ticks(values)?;
                }
            } else if name == "procs_running" {
                n_runnable = values.trim().parse().ok()?;
            }
        }
        (n_cpus > 0).then_some(Self { n_cpus, idle, own: process_ticks(process)?, n_runnable })
    }

    /// What the CPUs did since `before`, which was read `elapsed` earlier. `None` if other CPUs
    /// were allowed then.
    pub(super) fn sample_since(
        self,
        before: Self,
        elapsed: Duration,
        was_idle: bool,
    ) -> Option<CpuSample> {
        if self.n_cpus != before.n_cpus {
            return None;
        }
        // The time that a CPU was idle can be corrected downwards.
        let ticks = self.idle.saturating_sub(before.idle) + self.own.saturating_sub(before.own);
        Some(CpuSample {
            n_cpus: self.n_cpus,
            available: ticks as f64 / (elapsed.as_secs_f64() * TICKS_PER_SECOND),
            // The calling thread is one of those that run.
            n_others: self.n_runnable.saturating_sub(1),
            was_idle,
        })
    }
}

/// The ranges of CPUs that a thread may use, from its `status`.
fn allowed_cpus(status: &str) -> Option<Vec<(u32, u32)>> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    list.trim().split(',').map(range).collect()
}

/// The idle time of a CPU, from its line in `/proc/stat`: user, nice, system, idle, iowait, ….
/// A CPU that waits for a disk is idle.
fn idle_ticks(values: &str) -> Option<u64> {
    let mut fields = values.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let idle = fields.nth(3)??;
    Some(idle + fields.next()??)
}

/// The CPU time of all threads of a process, ended ones included, from its `stat`. Its second
/// field, the name in parentheses, may contain anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let user = fields.nth(11)??;
    Some(user + fields.next()??)
}

/// The number of the parent of a process, from the `stat` of the process.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Units of the counters per second. Linux has this value on all architectures that Rust's standard
/// library supports (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    const CPUS: &str = "cpu  9 9 9 9 9 9 9 9 0 0\n\
        cpu0 100 5 20 1000 30 0 4 3 0 0\n\
        cpu1 100 5 20 2000 40 0 4 3 0 0\n\
        cpu12 100 5 20 4000 50 0 4 3 0 0\n\
        intr 12 0 3\nctxt 55\nprocs_running 3\nprocs_blocked 0\n";
    const PROCESS: &str = "17 (a) b (c) S 1 1 1 0 -1 4194560 77 0 0 0 250 50 0 0 20 0 4 0 900 1 1";

    fn counters(allowed: &str) -> Option<CpuCounters> {
        CpuCounters::parse(CPUS, PROCESS, &format!("Name:\tx\nCpus_allowed_list:\t{allowed}\n"))
    }

    #[test]
    fn idle_time_is_that_of_the_allowed_cpus() {
        let all = counters("0-63").unwrap();
        assert_eq!(all, CpuCounters { n_cpus: 3, idle: 7120, own: 300, n_runnable: 3 });
        let some = counters("1,8-12").unwrap();
        assert_eq!((some.n_cpus, some.idle), (2, 6090));
        assert_eq!(counters("5"), None, "no such CPU");
        assert_eq!(counters(""), None);
        assert_eq!(CpuCounters::parse(CPUS, "", "Cpus_allowed_list: 0"), None);
    }

    #[test]
    fn available_cpus_are_the_idle_and_the_own_ones() {
        let before = counters("0-1").unwrap();
        let later =
            |idle: u64, own: u64| CpuCounters { idle: 3070 + idle, own: 300 + own, ..before };
        let available = |idle: u64, own: u64| {
            let sample = later(idle, own).sample_since(before, Duration::from_millis(200), false);
            sample.unwrap().available
        };
        assert_eq!(available(2, 38), 2.0, "alone");
        assert_eq!(available(0, 30), 1.5, "a busy program beside two threads");
        assert_eq!(available(0, 20), 1.0, "a busy program beside one thread");
        let fewer = CpuCounters { n_cpus: 1, ..before };
        assert_eq!(before.sample_since(fewer, Duration::from_secs(1), false), None);
    }

    #[test]
    fn parent_is_found_whatever_the_name_of_the_process_contains() {
        assert_eq!(parent_of(PROCESS), Some(1));
        assert_eq!(parent_of(""), None);
    }

    #[test]
    fn calling_thread_is_no_other_program() {
        let counters = counters("0-1").unwrap();
        let sample = counters.sample_since(counters, Duration::from_secs(1), true).unwrap();
        assert_eq!((sample.n_others, sample.was_idle), (2, true));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn counters_of_this_system_can_be_read() {
        let counters = CpuCounters::read().unwrap();
        assert!(counters.n_cpus > 0 && counters.idle > 0 && counters.n_runnable > 0);
    }
}
