//! Suggests changes of the options that would put more of the model on GPUs.
//!
//! Every suggestion is planned by the same code as the real plan, so that it is as reliable. It has
//! to be worth it: a change that offloads only a few layers more is not suggested. If no smaller
//! `--parallel`, `--ctx-size` or `--kv-type` is enough, the last line says how much VRAM all layers
//! need.

use crate::build_info::{BACKEND, CPU_BACKEND};
use crate::cli::{Config, GpuLayers, KvTypeChoice};
use crate::daemon::units::bytes;
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
    let advisor = Advisor { config, description, gpus, now };
    let mut lines: Vec<String> = advisor.reserve_line().into_iter().collect();
    let found = advisor.changes_that_help();
    let is_enough = found.iter().any(|(_, offload_plan)| is_satisfied(config, offload_plan));
    lines.extend(found.iter().take(MAX_CHANGES).map(|(options, plan)| line(options, plan)));
    if !now.offload_plan.fits() {
        lines.extend(advisor.fitting_layers_line());
    }
    if !is_enough {
        lines.extend(advisor.needed_vram_line());
    }
    lines
}

/// What every suggestion is compared with.
struct Advisor<'a> {
    config: &'a Config,
    description: &'a ModelDescription,
    gpus: &'a [GpuDevice],
    now: &'a Arrangement,
}

impl Advisor<'_> {
    /// The offload plan of another configuration, if it can be served and fits.
    fn plan(&self, config: &Config) -> Option<OffloadPlan> {
        let arrangement = Arrangement::new(config, self.description, self.gpus).ok()?;
        Some(arrangement.offload_plan).filter(OffloadPlan::fits)
    }

    /// The plan after `change`, if it is enough of an improvement.
    fn plan_that_helps(&self, change: &Change) -> Option<OffloadPlan> {
        self.plan(&change.config).filter(|plan| self.is_worth_it(plan))
    }

    /// Whether `plan` offloads a noticeable part of the model more than the current one: everything
    /// that was asked for, or one in [`MIN_GAIN_DIVISOR`] of the layers or of their experts.
    fn is_worth_it(&self, plan: &OffloadPlan) -> bool {
        let now = &self.now.offload_plan;
        let least = plan.n_layers.div_ceil(MIN_GAIN_DIVISOR);
        // A plan that does not fit cannot be served.
        let before = if now.fits() { now.gpu_layers } else { 0 };
        let more_layers = plan.gpu_layers.saturating_sub(before);
        let more_experts = now.cpu_expert_layers.saturating_sub(plan.cpu_expert_layers);
        let is_more = more_layers >= least || plan.gpu_layers >= before && more_experts >= least;
        is_more || is_satisfied(self.config, plan) && plan.offloads_more_than(now)
    }

    /// For each option the first change that is enough, or else the last and largest change that
    /// helps. The best is first.
    fn changes_that_help(&self) -> Vec<(String, OffloadPlan)> {
        let mut found: Vec<(String, OffloadPlan)> = Vec::new();
        for changes in changes_by_option(self.config, self.now) {
            let plan = |change: Change| Some((self.plan_that_helps(&change)?, change.options));
            let plans: Vec<_> = changes.into_iter().filter_map(plan).collect();
            let enough = plans.iter().position(|(plan, _)| is_satisfied(self.config, plan));
            let best = enough.unwrap_or_else(|| plans.len().saturating_sub(1));
            found.extend(plans.into_iter().nth(best).map(|(plan, options)| (options, plan)));
        }
        if !found.iter().any(|(_, plan)| is_satisfied(self.config, plan))
            && let Some(change) = smallest_memory(self.config, self.now)
            && let Some(plan) = self.plan_that_helps(&change)
        {
            found.push((change.options, plan));
        }
        found.sort_by_key(|(_, plan)| {
            let n_on_cpu = plan.n_layers - plan.gpu_layers;
            (!is_satisfied(self.config, plan), n_on_cpu, plan.cpu_expert_layers)
        });
        found
    }

    /// Names the reserve if more would be offloaded without it.
    fn reserve_line(&self) -> Option<String> {
        let reserve = self.now.llama.vram_reserve;
        if reserve == 0 {
            return None;
        }
        let without = Config { vram_reserve: Some(0), ..self.config.clone() };
        let plan = self.plan(&without).filter(|plan| self.is_worth_it(plan))?;
        let free: Vec<String> = self.gpus.iter().map(|gpu| bytes(gpu.free as f64)).collect();
        Some(format!(
            "--vram-reserve leaves {} of each GPU unused ({} free): with --vram-reserve 0MB, {}",
            bytes(reserve as f64),
            free.join(" and "),
            layers(&plan)
        ))
    }

    /// What to do if more layers were requested than fit.
    fn fitting_layers_line(&self) -> Option<String> {
        let auto = Config { gpu_layers: GpuLayers::Auto, ..self.config.clone() };
        let plan = self.plan(&auto)?;
        Some(if plan.gpu_layers >= plan.n_layers.div_ceil(MIN_GAIN_DIVISOR) {
            line("--gpu-layers auto", &plan)
        } else {
            "too few layers fit to make it faster: use --gpu-layers 0".to_owned()
        })
    }

    /// How much VRAM all layers need with the current options.
    fn needed_vram_line(&self) -> Option<String> {
        let large = GpuDevice { free: u64::MAX, ..self.gpus.first()?.clone() };
        let config = Config { gpu_layers: GpuLayers::All, ..self.config.clone() };
        let plan = Arrangement::new(&config, self.description, &[large]).ok()?.offload_plan;
        let needed = plan.gpus.first()?.total().saturating_add(self.now.llama.vram_reserve);
        Some(format!(
            "all {} layers need {} of free VRAM with these options",
            plan.n_layers,
            bytes(needed as f64)
        ))
    }
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

/// The line that suggests `options`, which lead to `plan`.
fn line(options: &str, plan: &OffloadPlan) -> String {
    format!("with {options}, {}", layers(plan))
}

/// How many layers fit by `plan`.
fn layers(plan: &OffloadPlan) -> String {
    let OffloadPlan { gpu_layers, n_layers, cpu_expert_layers, .. } = plan;
    let experts = match cpu_expert_layers {
        0 => String::new(),
        n if n + 1 >= *n_layers => ", without their experts".to_owned(),
        n => format!(", without the experts of the first {n}"),
    };
    format!("{gpu_layers} of {n_layers} layers fit on the GPU{experts}")
}

/// Maximum number of suggested changes. People do not read more.
const MAX_CHANGES: usize = 2;

/// A suggestion has to offload at least this part of the layers more, as a divisor. Fewer layers
/// hardly make a model faster, because every token still waits for those on the CPU.
const MIN_GAIN_DIVISOR: u32 = 4;

/// Shortest context that is suggested; a shorter one does not hold a conversation.
const MIN_CTX_SIZE: u32 = 512;
