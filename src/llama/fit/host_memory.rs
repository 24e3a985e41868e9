//! How much host RAM is available to this process.

use sysinfo::System;

/// Bytes of host RAM that can be taken without swapping, on the machine or within the container's
/// limit; 0 if unknown.
pub fn available_memory() -> u64 {
    system().map_or(0, |system| available(&system))
}

/// Bytes that can be taken at all: [`available_memory`] and the free swap space; 0 if unknown.
pub fn available_memory_and_swap() -> u64 {
    let Some(system) = system() else { return 0 };
    match available(&system) {
        0 => 0,
        available => available.saturating_add(system.free_swap()),
    }
}

/// The current memory of the machine; `None` if it is unknown.
fn system() -> Option<System> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system)
}

/// Bytes that can be taken without swapping; 0 if unknown.
fn available(system: &System) -> u64 {
    let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(container)
}
