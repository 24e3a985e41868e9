//! The memory that this process may still take.
//!
//! The machine reports an estimate of its own (`MemAvailable`). For a cgroup it is the limit, less
//! the usage, plus the file cache and kernel caches among the usage, which the kernel drops before
//! it lets a limit be exceeded. Swap space does not count (ADR-0034).

use std::fs;
use std::path::Path;

use super::AvailableMemory;
use super::cgroups::{Cgroup, Version};

/// The least of what the machine and the cgroups of this process have left; `None` if neither the
/// machine nor a cgroup says anything.
pub(super) fn available(root: &Path) -> Option<AvailableMemory> {
    let machine = mem_available(root);
    let cgroups = Cgroup::of_this_process(root, "memory");
    let limited = cgroups.iter().filter_map(available_in).min();
    match (machine, limited) {
        (Some(machine), Some(limited)) if machine <= limited => {
            Some(AvailableMemory { bytes: machine, is_limited: false })
        }
        (_, Some(bytes)) => Some(AvailableMemory { bytes, is_limited: true }),
        (machine, None) => machine.map(|bytes| AvailableMemory { bytes, is_limited: false }),
    }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn mem_available(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes that the processes of a cgroup may still take; `None` without a limit.
fn available_in(cgroup: &Cgroup) -> Option<u64> {
    let stat = cgroup.text("memory.stat").unwrap_or_default();
    let stat = |name: &str| stat_number(&stat, name);
    let (limits, usage, reclaimable) = match cgroup.version {
        // Above `memory.high` the kernel slows the processes down until they hardly run.
        Version::V2 => (
            [cgroup.number("memory.max"), cgroup.number("memory.high")],
            cgroup.number("memory.current"),
            ["active_file", "inactive_file", "slab_reclaimable"].map(stat),
        ),
        // `memory.stat` knows the least limit above, even if that cgroup is not visible. Its
        // numbers for the cgroups below as well begin with `total_`; caches of the kernel are not
        // among them.
        Version::V1 => (
            [cgroup.number("memory.limit_in_bytes"), stat("hierarchical_memory_limit")],
            cgroup.number("memory.usage_in_bytes"),
            [stat("total_active_file"), stat("total_inactive_file"), None],
        ),
    };
    let limit = limits.into_iter().flatten().min()?;
    let reclaimable = reclaimable.into_iter().flatten().fold(0, u64::saturating_add);
    Some(limit.saturating_sub(usage.unwrap_or(0).saturating_sub(reclaimable)))
}

/// The number behind `name` in the text of a `memory.stat`.
fn stat_number(stat: &str, name: &str) -> Option<u64> {
    let number = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    stat.lines().find_map(number)
}
