//! Host RAM for cached sequences outside the KV cache (`--cache-ram`).

use crate::daemon::units::bytes;
use crate::llama::{DevicePlan, OffloadPlan};

/// Bytes of host RAM for cached sequences, if `spare` bytes can be taken before the model is
/// loaded; `None` if that is not known.
pub(super) fn default_cache_ram(
    offload_plan: &OffloadPlan,
    draft: Option<&DevicePlan>,
    spare: Option<u64>,
) -> u64 {
    let kv_bytes = offload_plan.gpus.iter().chain([&offload_plan.cpu]).map(|plan| plan.kv).sum();
    cache_ram(kv_bytes, model_bytes(offload_plan, draft), spare)
}

/// A warning if the user's `--cache-ram` is more than `spare` leaves beside the `demand` of the
/// models in bytes.
pub(super) fn warning(requested: u64, demand: u64, spare: Option<u64>) -> Option<String> {
    let left = spare?.saturating_sub(demand);
    (requested > left).then(|| {
        format!(
            "--cache-ram of {} is more than the {} of host RAM that the model leaves: lower it, or \
             the system may kill the model's process",
            bytes(requested as f64),
            bytes(left as f64)
        )
    })
}

/// Bytes that the model and its draft model have in host RAM, with pages of mapped files: they are
/// worth sparing, although the system could drop them.
fn model_bytes(offload_plan: &OffloadPlan, draft: Option<&DevicePlan>) -> u64 {
    let in_host_ram = [Some(&offload_plan.cpu), draft].into_iter().flatten();
    in_host_ram.map(DevicePlan::total).sum()
}

/// The size of the KV cache and a sixteenth, but at most a quarter of the `spare` bytes that the
/// model leaves.
fn cache_ram(kv_bytes: u64, model_bytes: u64, spare: Option<u64>) -> u64 {
    // A sequence that fills the KV cache is a little larger when exported.
    let whole_cache = kv_bytes + kv_bytes / 16;
    match spare {
        None => whole_cache,
        Some(spare) => whole_cache.min(spare.saturating_sub(model_bytes) / SPARE_MEMORY_DIVISOR),
    }
}

/// Divisor of the memory that the model leaves free, for cached sequences (ADR-0003).
const SPARE_MEMORY_DIVISOR: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_ram_is_the_kv_cache_and_at_most_a_quarter_of_free_memory() {
        assert_eq!(cache_ram(160, 1_000, Some(9_000)), 170);
        assert_eq!(cache_ram(1_600, 1_000, Some(3_000)), 500);
        assert_eq!(cache_ram(160, 1_000, Some(900)), 0);
        assert_eq!(cache_ram(160, 1_000, None), 170, "spare memory is not known");
    }
}
