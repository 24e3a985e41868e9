//! Reads the CPU times that Linux counts.
//!
//! The times of the CPUs are in `/proc/stat`, those of this process in `/proc/self/stat`, and those
//! of its parent, the daemon, in `/proc/PID/stat` (proc(5)). What is neither idle nor used by these
//! two processes belongs to other programs, or to other virtual machines.

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
    #[cfg(target_os = "linux")]
    pub(super) fn read() -> Option<Self> {
        use procfs::FromRead;
        use procfs::process::Stat;

        use crate::machine::allowed_cpus;

        let process = Stat::from_file("/proc/self/stat").ok()?;
        let parent = Stat::from_file(format!("/proc/{}/stat", process.ppid)).ok();
        let own = [Some(process), parent].into_iter().flatten();
        let own = own.map(|process| process.utime + process.stime).sum();
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?, &allowed_cpus(), own)
    }

    /// The counters now: this system has none.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read() -> Option<Self> {
        None
    }

    /// The counters from the text of `/proc/stat`, the numbers of the allowed CPUs, and the time of
    /// this process and its parent. (procfs drops the numbers of the CPUs.)
    ///
    /// In a system container, lxcfs lists only the CPUs of the container and counts them from 0. So
    /// if an allowed CPU is not listed, all that are listed count.
    #[cfg(any(target_os = "linux", test))]
    fn parse(cpus: &str, allowed: &[u32], own: u64) -> Option<Self> {
        let mut n_runnable = 0;
        let mut listed: Vec<(u32, u64)> = Vec::new();
        for line in cpus.lines() {
            let (name, values) = line.split_once(' ')?;
            if let Some(Ok(cpu)) = name.strip_prefix("cpu").map(str::parse) {
                listed.push((cpu, idle_ticks(values)?));
            } else if name == "procs_running" {
                n_runnable = values.trim().parse().ok()?;
            }
        }
        let are_listed = allowed.iter().all(|cpu| listed.iter().any(|(other, _)| other == cpu));
        let counts = |cpu: &u32| !are_listed || allowed.contains(cpu);
        let idle: Vec<u64> =
            listed.iter().filter(|(cpu, _)| counts(cpu)).map(|&(_, idle)| idle).collect();
        let n_cpus = idle.len() as u32;
        (n_cpus > 0).then_some(Self { n_cpus, idle: idle.iter().sum(), own, n_runnable })
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

/// The idle time of a CPU, from its line in `/proc/stat`: user, nice, system, idle, iowait, ….
/// A CPU that waits for a disk is idle.
#[cfg(any(target_os = "linux", test))]
fn idle_ticks(values: &str) -> Option<u64> {
    let mut fields = values.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let idle = fields.nth(3)??;
    Some(idle + fields.next()??)
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
    fn counters(allowed: &[u32]) -> Option<CpuCounters> {
        CpuCounters::parse(CPUS, allowed, 300)
    }

    #[test]
    fn idle_time_is_that_of_the_allowed_cpus() {
        let all = counters(&[0, 1, 12]).unwrap();
        assert_eq!(all, CpuCounters { n_cpus: 3, idle: 7120, own: 300, n_runnable: 3 });
        let some = counters(&[1, 12]).unwrap();
        assert_eq!((some.n_cpus, some.idle), (2, 6090));
        assert_eq!(counters(&[]), None);
    }

    #[test]
    fn renumbered_cpus_of_a_container_all_count() {
        assert_eq!(counters(&[12, 13, 14]), counters(&[0, 1, 12]));
    }

    #[test]
    fn available_cpus_are_the_idle_and_the_own_ones() {
        let before = counters(&[0, 1]).unwrap();
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
    fn calling_thread_is_no_other_program() {
        let counters = counters(&[0, 1]).unwrap();
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
