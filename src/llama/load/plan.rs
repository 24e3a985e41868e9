//! Plans what of a model goes to which device, from its header and the options of a load.

use crate::llama::file::ModelDescription;
use crate::llama::fit::AttentionFacts;
use crate::llama::fit::{CpuShare, Demand, GpuDevice, KvType, OffloadPlan, OffloadTarget, arrange};

use super::options::Options;

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

/// What a model with `options` has to hold and compute, for the memory estimates.
pub(super) fn demand(options: &Options, flash_attention: bool) -> Demand {
    Demand {
        kv_tokens: options.kv_tokens.into(),
        slots: options.parallel.into(),
        outputs: u64::from(options.parallel) + u64::from(options.n_draft),
        ubatch: options.ubatch.into(),
        kv_type: options.kv_type,
        flash_attention,
    }
}

/// Whether to use flash attention; `None` leaves the choice to llama.cpp, which uses it if the
/// backend supports it.
pub(super) fn choose_flash_attention(
    description: &ModelDescription,
    options: &Options,
    is_offloaded: bool,
) -> Option<bool> {
    let situation = AttentionFacts {
        requested: options.flash_attention,
        has_unaligned_heads: description.sizes.has_unaligned_heads(),
        is_offloaded,
        is_kv_quantized: options.kv_type != KvType::F16,
        score_bytes: description
            .sizes
            .compute_buffers(&demand(options, false), CpuShare::Everything)
            .cpu,
    };
    situation.flash_attention()
}
