//! Plans what of a model goes to which device, from its header and the options of a load.
//!
//! The plan and the attention implementation depend on each other: flash attention needs less
//! memory, and which implementation is faster depends on whether layers are offloaded.

use crate::llama::file::ModelDescription;
use crate::llama::load::Options;

use super::arrange::arrange;
use super::attention::AttentionFacts;
use super::compute::CpuShare;
use super::plan::{GpuDevice, OffloadPlan, OffloadTarget};
use super::sizes::{Demand, KvType};

/// Plans how a model that is loaded with `options` is distributed over the CPU and these GPUs.
pub fn plan_offload(
    description: &ModelDescription,
    options: &Options,
    gpus: &[GpuDevice],
) -> OffloadPlan {
    let arrange_for = |is_offloaded| {
        let is_flash = choose_flash_attention(description, options, is_offloaded) != Some(false);
        let demand = demand(options, is_flash);
        arrange(&description.sizes, &demand, gpus, options.vram_reserve, options.gpu_layers)
    };
    let is_wanted = !gpus.is_empty() && options.gpu_layers != OffloadTarget::Layers(0);
    let offload_plan = arrange_for(is_wanted);
    // If nothing fits on a GPU, attention is chosen as on a machine without one.
    if is_wanted && offload_plan.gpu_layers == 0 { arrange_for(false) } else { offload_plan }
}

/// What a context with these options must hold and compute, for the memory estimates.
fn demand(options: &Options, flash_attention: bool) -> Demand {
    Demand {
        slot_tokens: options.slot_tokens.into(),
        n_slots: options.parallel.into(),
        n_outputs: u64::from(options.parallel) + u64::from(options.n_draft),
        n_ubatch: options.ubatch.into(),
        kv_type: options.kv_type,
        flash_attention,
    }
}

/// Whether to use flash attention; `None` leaves the choice to llama.cpp, which uses it if the
/// backend supports it.
pub(in crate::llama) fn choose_flash_attention(
    description: &ModelDescription,
    options: &Options,
    is_offloaded: bool,
) -> Option<bool> {
    let facts = AttentionFacts {
        requested: options.flash_attention,
        has_unaligned_heads: description.sizes.has_unaligned_heads(),
        is_offloaded,
        is_kv_quantized: options.kv_type != KvType::F16,
        score_bytes: description
            .sizes
            .compute_buffers(&demand(options, false), CpuShare::Everything)
            .cpu,
    };
    facts.flash_attention()
}
