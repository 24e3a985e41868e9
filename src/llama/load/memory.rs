//! Compares the memory plan with the buffers that llama.cpp allocated.

use crate::domain::MemoryPart;
use crate::llama::fit::report;
use crate::llama::fit::{DevicePlan, OffloadPlan};
use crate::llama::logs::ReportedBuffer;

/// The planned and the allocated bytes of each part of the model on each device. Logs the
/// differences. `released_bytes` of the weights in host RAM were released after llama.cpp reported
/// them.
pub(super) fn compare_with_plan(
    offload_plan: &OffloadPlan,
    buffers: &[ReportedBuffer],
    released_bytes: u64,
) -> Vec<MemoryPart> {
    let is_gpu = |owner: &str| offload_plan.gpus.iter().any(|gpu| gpu.device == owner);
    // Every buffer that belongs to no GPU is in host RAM, under various names: llama.cpp
    // distinguishes mapped files and memory that is pinned for a GPU.
    let is_on = |buffer: &ReportedBuffer, device: &DevicePlan| {
        let is_same = buffer.owner == device.device;
        if is_gpu(&device.device) { is_same } else { !is_gpu(&buffer.owner) }
    };
    let allocated = |kinds: &[&str], device: &DevicePlan| -> u64 {
        let buffers = buffers.iter().filter(|buffer| is_on(buffer, device));
        let buffers = buffers.filter(|buffer| kinds.contains(&buffer.kind.as_str()));
        let mib: f64 = buffers.map(|buffer| buffer.mib).sum();
        let bytes = (mib * f64::from(1 << 20)) as u64;
        let has_file = !is_gpu(&device.device) && kinds.contains(&"model");
        bytes.saturating_sub(if has_file { released_bytes } else { 0 })
    };
    let parts_of = |device: &DevicePlan| {
        let parts = [
            ("weights", &["model"][..], device.weights),
            ("kv", &["KV", "RS"], device.kv),
            ("compute", &["compute"], device.compute),
        ];
        parts.map(|(name, kinds, planned)| MemoryPart {
            name: name.into(),
            device: device.device.clone(),
            planned_bytes: planned,
            taken_bytes: allocated(kinds, device),
        })
    };
    let devices = offload_plan.gpus.iter().chain([&offload_plan.cpu]);
    let parts: Vec<_> = devices
        .flat_map(parts_of)
        .filter(|part| part.planned_bytes > 0 || part.taken_bytes > 0)
        .collect();
    report::log_deviation(&parts);
    parts
}
