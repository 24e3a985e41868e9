//! What this process may still take of the machine: memory and CPUs.
//!
//! Containers and services limit their processes through cgroups, of version 1 or 2. A process is
//! limited by its own cgroup and by all cgroups above it, so [`available_memory`] and
//! [`usable_cores`] take the least along that path (`cgroups`). Everything that depends on free
//! memory or on the number of CPUs asks here (ADR-0034).
//!
//! The files are read below a root folder, which tests replace by recorded ones. Other systems than
//! Linux have no cgroups, and report the whole machine.

#[cfg(target_os = "linux")]
mod cgroups;
#[cfg(target_os = "linux")]
mod cpus;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(test)]
mod tests;

#[cfg(target_os = "linux")]
use std::path::Path;

#[cfg(not(target_os = "linux"))]
pub use self::other::{available_memory, usable_cores};

/// Memory that this process may still take without swapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvailableMemory {
    /// Its size. Cached file contents that the system can drop count as available.
    pub bytes: u64,
    /// Whether a limit of a cgroup decides, and not the memory of the machine.
    pub is_limited: bool,
}

/// The memory that this process may still take at this moment; `None` if the system does not say.
#[cfg(target_os = "linux")]
pub fn available_memory() -> Option<AvailableMemory> {
    memory::available(Path::new("/"))
}

/// Number of physical cores that this process may compute on at the same time, at least 1: by the
/// CPUs that the calling thread may use, and by the CPU time that the cgroups allow, rounded down.
#[cfg(target_os = "linux")]
pub fn usable_cores() -> u32 {
    cpus::usable_cores(Path::new("/"), &cpus::allowed())
}

/// The numbers of the CPUs that the calling thread may use; empty if the system does not say.
#[cfg(target_os = "linux")]
pub fn allowed_cpus() -> Vec<u32> {
    cpus::allowed()
}
