//! The machine on other systems than Linux, where nothing limits a single process.

use sysinfo::System;

use super::AvailableMemory;

/// The memory that can be taken at this moment; `None` if the system does not say.
pub fn available_memory() -> Option<AvailableMemory> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let bytes = system.available_memory();
    (bytes > 0).then_some(AvailableMemory { bytes, is_limited: false })
}

/// Number of physical cores, at least 1.
pub fn usable_cores() -> u32 {
    System::physical_core_count().and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1)
}
