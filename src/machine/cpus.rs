//! The CPUs that this process may use.
//!
//! The system call for the affinity also knows the cpusets of the cgroups. A quota is CPU time per
//! period, which threads on any number of CPUs share (ADR-0034).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity};

use super::cgroups::{Cgroup, Version};

/// The numbers of the CPUs that the calling thread may use; empty if the system does not say, as
/// on a machine with more CPUs than [`CpuSet`] can hold.
pub(super) fn allowed() -> Vec<u32> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).map(|cpu| cpu as u32).collect()
}

/// The least of the physical cores of the `allowed` CPUs and the quotas of the cgroups, at least 1.
pub(super) fn usable_cores(root: &Path, allowed: &[u32]) -> u32 {
    let cgroups = Cgroup::of_this_process(root, "cpu");
    let quota = cgroups.iter().filter_map(quota_cpus).min();
    n_cores(root, allowed).min(quota.unwrap_or(u32::MAX)).max(1)
}

/// Number of physical cores among these CPUs. A CPU whose siblings are unknown counts as a core.
fn n_cores(root: &Path, cpus: &[u32]) -> u32 {
    if cpus.is_empty() {
        return thread::available_parallelism().map_or(1, |n| n.get() as u32);
    }
    let siblings = |cpu: &u32| {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        fs::read_to_string(root.join(path)).unwrap_or_else(|_| cpu.to_string())
    };
    cpus.iter().map(siblings).collect::<BTreeSet<String>>().len() as u32
}

/// The whole CPUs that a cgroup's quota is sufficient for, which may be 0; `None` without a quota.
fn quota_cpus(cgroup: &Cgroup) -> Option<u32> {
    let (quota, period): (u64, u64) = match cgroup.version {
        Version::V2 => {
            let text = cgroup.text("cpu.max")?;
            let (quota, period) = text.split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
        // Without a quota it is -1.
        Version::V1 => (cgroup.number("cpu.cfs_quota_us")?, cgroup.number("cpu.cfs_period_us")?),
    };
    u32::try_from(quota.checked_div(period)?).ok()
}
