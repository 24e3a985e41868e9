//! What little change of the options would put more of a model on the cards.
//!
//! Each change is planned by the same code as what was asked, so that the advice is right where the
//! plan is.

use crate::build_info;
use crate::cli::{Config, GpuLayers, KvType};
use crate::llama::{self, GpuDevice, ModelDescription, OffloadPlan};

use super::plan::{Arranged, CPU};

/// Most lines of advice: more are not read.
const MOST_LINES: usize = 2;

/// Shortest context that is advised; a shorter one is no use for a conversation.
const SHORTEST_CONTEXT: u32 = 512;

/// What to type for a better plan, a line each, the best first; nothing where what was asked fits
/// and nothing is left behind.
pub(super) fn advice(
    config: &Config,
    description: &ModelDescription,
    cards: &[GpuDevice],
    now: &Arranged,
) -> Vec<String> {
    if cards.is_empty() {
        let build = match build_info::BACKEND {
            CPU => ", or build for a card (BUILD.md, \"For a graphics card\")",
            _ => "",
        };
        return vec![format!("--vram 3GB plans for a card with 3 GB free{build}")];
    }
    if is_satisfied(config, &now.offload_plan) {
        return Vec::new();
    }
    let planned = |change: Change| {
        let arranged = Arranged::new(&change.config, description, cards).ok()?;
        let is_better = arranged.offload_plan.fits()
            && arranged.offload_plan.offloads_more_than(&now.offload_plan);
        is_better.then_some((change.typed, arranged.offload_plan))
    };
    let mut found: Vec<(String, OffloadPlan)> = Vec::new();
    for ladder in ladders(config, now) {
        // The first step that is enough, or else the last, which changes most.
        let steps: Vec<_> = ladder.into_iter().filter_map(planned).collect();
        let enough = steps.iter().position(|(_, offload_plan)| is_satisfied(config, offload_plan));
        let best = enough.unwrap_or_else(|| steps.len().saturating_sub(1));
        found.extend(steps.into_iter().nth(best));
    }
    if !found.iter().any(|(_, offload_plan)| is_satisfied(config, offload_plan)) {
        found.extend(smallest(config, now).and_then(planned));
    }
    if !now.offload_plan.fits() {
        let auto = Config { gpu_layers: GpuLayers::Auto, ..config.clone() };
        found.extend(planned(Change { typed: "--gpu-layers auto".to_owned(), config: auto }));
    }
    found.sort_by_key(|(_, offload_plan)| {
        (
            !is_satisfied(config, offload_plan),
            offload_plan.n_layers - offload_plan.gpu_layers,
            offload_plan.cpu_expert_layers,
        )
    });
    // Where it does not fit, as many layers are there by the plan as were asked for.
    let verb = if now.offload_plan.fits() { "puts" } else { "fits" };
    let lines = found.iter().map(|(typed, offload_plan)| line(typed, verb, offload_plan));
    lines.take(MOST_LINES).collect()
}

/// Whether what was asked for is there, and fits.
fn is_satisfied(config: &Config, offload_plan: &OffloadPlan) -> bool {
    let is_all =
        offload_plan.gpu_layers == offload_plan.n_layers && offload_plan.cpu_expert_layers == 0;
    let is_enough = match config.gpu_layers {
        GpuLayers::Auto | GpuLayers::All => is_all,
        GpuLayers::Number(n) => offload_plan.gpu_layers >= n.min(offload_plan.n_layers),
    };
    is_enough && offload_plan.fits()
}

/// Options that were not asked for.
struct Change {
    /// As one types them.
    typed: String,
    config: Config,
}

/// Changes of one option each, from small to large ones.
fn ladders(config: &Config, now: &Arranged) -> [Vec<Change>; 3] {
    let halves = |from: u32, least: u32| {
        std::iter::successors(Some(from / 2), |n| Some(n / 2)).take_while(move |&n| n >= least)
    };
    let slots = halves(config.parallel, 1).map(|parallel| Change {
        typed: format!("--parallel {parallel}"),
        config: Config { parallel, ..config.clone() },
    });
    let packed = (now.llama.kv_type == llama::KvType::F16).then(|| Change {
        typed: "--kv-type q8_0".to_owned(),
        config: Config { kv_type: KvType::Q8, ..config.clone() },
    });
    let contexts = halves(now.ctx_size, SHORTEST_CONTEXT).map(|n| Change {
        typed: format!("--ctx-size {n}"),
        config: Config { ctx_size: Some(n), ..config.clone() },
    });
    [slots.collect(), packed.into_iter().collect(), contexts.collect()]
}

/// One slot and a packed cache together; `None` where one of them is there already.
fn smallest(config: &Config, now: &Arranged) -> Option<Change> {
    let is_new = config.parallel > 1 && now.llama.kv_type == llama::KvType::F16;
    is_new.then(|| Change {
        typed: "--parallel 1 --kv-type q8_0".to_owned(),
        config: Config { parallel: 1, kv_type: KvType::Q8, ..config.clone() },
    })
}

fn line(typed: &str, verb: &str, offload_plan: &OffloadPlan) -> String {
    let OffloadPlan { gpu_layers, n_layers, cpu_expert_layers, .. } = offload_plan;
    let experts = match cpu_expert_layers {
        0 => String::new(),
        n if n + 1 >= *n_layers => ", without the experts".to_owned(),
        n => format!(", without the experts of the first {n}"),
    };
    format!("{typed} {verb} {gpu_layers} of {n_layers} layers there{experts}")
}
