//! Suggests small changes of the options that would put more of the model on GPUs.
//!
//! Every suggestion is planned by the same code as the real plan, so that it is as reliable.

use crate::build_info::{BACKEND, CPU_BACKEND};
use crate::cli::{Config, GpuLayers, KvTypeChoice};
use crate::llama::{self, GpuDevice, ModelDescription, OffloadPlan};

use super::arrange::Arrangement;

/// Suggestions, one line each, the best first. Empty if everything that was asked for is on GPUs.
pub(super) fn advice(
    config: &Config,
    description: &ModelDescription,
    gpus: &[GpuDevice],
    now: &Arrangement,
) -> Vec<String> {
    if gpus.is_empty() {
        return vec![without_gpu()];
    }
    if is_satisfied(config, &now.offload_plan) {
        return Vec::new();
    }
    let plan = |change: Change| {
        let arrangement = Arrangement::new(&change.config, description, gpus).ok()?;
        let offload_plan = arrangement.offload_plan;
        let is_better = offload_plan.fits() && offload_plan.offloads_more_than(&now.offload_plan);
        is_better.then_some((change.options, offload_plan))
    };
    let mut found: Vec<(String, OffloadPlan)> = Vec::new();
    for changes in changes_by_option(config, now) {
        // The first change that is sufficient, or else the last and largest change.
        let plans: Vec<_> = changes.into_iter().filter_map(plan).collect();
        let enough = plans.iter().position(|(_, offload_plan)| is_satisfied(config, offload_plan));
        let best = enough.unwrap_or_else(|| plans.len().saturating_sub(1));
        found.extend(plans.into_iter().nth(best));
    }
    if !found.iter().any(|(_, offload_plan)| is_satisfied(config, offload_plan)) {
        found.extend(smallest_memory(config, now).and_then(plan));
    }
    if !now.offload_plan.fits() {
        let auto = Config { gpu_layers: GpuLayers::Auto, ..config.clone() };
        found.extend(plan(Change { options: "--gpu-layers auto".to_owned(), config: auto }));
    }
    found.sort_by_key(|(_, offload_plan)| {
        (
            !is_satisfied(config, offload_plan),
            offload_plan.n_layers - offload_plan.gpu_layers,
            offload_plan.cpu_expert_layers,
        )
    });
    let lines = found.iter().map(|(options, offload_plan)| line(options, offload_plan));
    lines.take(MAX_LINES).collect()
}

/// A change of the configured options.
struct Change {
    /// The changed options, as the user types them.
    options: String,
    /// The configuration with them.
    config: Config,
}

/// For each of three options the changes to try, from the smallest to the largest.
fn changes_by_option(config: &Config, now: &Arrangement) -> [Vec<Change>; 3] {
    let halves = |from: u32, least: u32| {
        std::iter::successors(Some(from / 2), |n| Some(n / 2)).take_while(move |&n| n >= least)
    };
    let fewer_slots = halves(config.parallel, 1).map(|parallel| Change {
        options: format!("--parallel {parallel}"),
        config: Config { parallel, ..config.clone() },
    });
    let quantized_cache = (now.llama.kv_type == llama::KvType::F16).then(|| Change {
        options: "--kv-type q8_0".to_owned(),
        config: Config { kv_type: KvTypeChoice::Q8, ..config.clone() },
    });
    let shorter_contexts = halves(now.ctx_size, MIN_CTX_SIZE).map(|n| Change {
        options: format!("--ctx-size {n}"),
        config: Config { ctx_size: Some(n), ..config.clone() },
    });
    [fewer_slots.collect(), quantized_cache.into_iter().collect(), shorter_contexts.collect()]
}

/// One slot and a quantized KV cache together; `None` if one of them is configured already.
fn smallest_memory(config: &Config, now: &Arrangement) -> Option<Change> {
    let is_new = config.parallel > 1 && now.llama.kv_type == llama::KvType::F16;
    is_new.then(|| Change {
        options: "--parallel 1 --kv-type q8_0".to_owned(),
        config: Config { parallel: 1, kv_type: KvTypeChoice::Q8, ..config.clone() },
    })
}

/// Whether the plan fits and offloads all layers that the configuration asks for.
fn is_satisfied(config: &Config, offload_plan: &OffloadPlan) -> bool {
    let is_all =
        offload_plan.gpu_layers == offload_plan.n_layers && offload_plan.cpu_expert_layers == 0;
    let is_enough = match config.gpu_layers {
        GpuLayers::Auto | GpuLayers::All => is_all,
        GpuLayers::Number(n) => offload_plan.gpu_layers >= n.min(offload_plan.n_layers),
    };
    is_enough && offload_plan.fits()
}

/// The suggestion for a machine without a GPU.
fn without_gpu() -> String {
    let build =
        if BACKEND == CPU_BACKEND { "; docs/BUILD.md says how to build for one" } else { "" };
    format!("--vram 3GB plans for a GPU with 3 GB free{build}")
}

/// The line that suggests `options`, which lead to `offload_plan`.
fn line(options: &str, offload_plan: &OffloadPlan) -> String {
    let OffloadPlan { gpu_layers, n_layers, cpu_expert_layers, .. } = offload_plan;
    let experts = match cpu_expert_layers {
        0 => String::new(),
        n if n + 1 >= *n_layers => ", without their experts".to_owned(),
        n => format!(", without the experts of the first {n}"),
    };
    format!("with {options}, {gpu_layers} of {n_layers} layers fit on the GPU{experts}")
}

/// Maximum number of suggestions. People do not read more.
const MAX_LINES: usize = 2;

/// Shortest context that is suggested; a shorter one does not hold a conversation.
const MIN_CTX_SIZE: u32 = 512;
