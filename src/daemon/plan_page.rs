//! The plan of what goes where, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::llama::{DevicePlan, FileExtent, GpuDevice, ModelDescription};

use super::plan::Plan;

/// The draft model's row.
const DRAFT: &str = "draft, cpu";

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct PlanPage {
    model: String,
    arch: String,
    ctx_size: usize,
    parallel: u32,
    kv_tokens: u32,
    kv_type: &'static str,
    flash_attention: bool,
    /// Most bytes of finished conversations beside the KV cache.
    cache_ram_bytes: usize,
    vram_reserve_bytes: u64,
    gpu_layers: u32,
    n_layers: u32,
    cpu_expert_layers: u32,
    why: String,
    /// Whether no card holds more than may be used there.
    fits: bool,
    /// What would change the plan, a line each.
    advice: Vec<String>,
    /// Bytes of the file, or the files, and how many there should be.
    file_bytes: u64,
    file_bytes_needed: u64,
    places: Vec<Place>,
    /// The draft model, which lies with the processor.
    draft: Option<Place>,
    /// What is wrong with it, a line.
    doubtful_draft: Option<String>,
}

/// What lies in one place, in bytes.
#[derive(Debug, Serialize)]
struct Place {
    name: String,
    layers: u32,
    weights: u64,
    kv: u64,
    compute: u64,
    context: u64,
    total: u64,
    /// What may be used there, the reserve taken off.
    budget: Option<u64>,
}

impl From<&DevicePlan> for Place {
    fn from(place: &DevicePlan) -> Self {
        let DevicePlan { name, budget, layers, weights, kv, compute, context, .. } = place.clone();
        Self { name, layers, weights, kv, compute, context, total: place.total(), budget }
    }
}

/// Cards that have so much free.
pub(super) fn imagined(free: &[u64]) -> Vec<GpuDevice> {
    let named = |(i, &free): (usize, &u64)| GpuDevice {
        name: format!("card {i}"),
        device: String::new(),
        free,
    };
    free.iter().enumerate().map(named).collect()
}

/// So many slots, in words.
pub(super) fn slots(n: u32) -> String {
    if n == 1 { "1 slot".to_owned() } else { format!("{n} slots") }
}

/// Said only where it is off, which costs memory.
pub(super) fn without_flash_attention(flash_attention: bool) -> &'static str {
    if flash_attention { "" } else { " · without flash attention" }
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

impl PlanPage {
    pub(super) fn new(description: &ModelDescription, plan: &Plan) -> Self {
        let ModelDescription { info: model, extent, .. } = description;
        let FileExtent { present, needed } = *extent;
        let offload_plan = &plan.offload_plan;
        Self {
            model: model.name.clone(),
            arch: model.arch.clone(),
            ctx_size: plan.engine.ctx_size,
            parallel: plan.llama.parallel,
            kv_tokens: plan.llama.kv_tokens,
            kv_type: offload_plan.kv_type.name(),
            flash_attention: offload_plan.flash_attention,
            cache_ram_bytes: plan.engine.cache_ram_bytes,
            vram_reserve_bytes: plan.llama.vram_reserve,
            gpu_layers: offload_plan.gpu_layers,
            n_layers: offload_plan.n_layers,
            cpu_expert_layers: offload_plan.cpu_expert_layers,
            why: offload_plan.why.clone(),
            advice: plan.advice.clone(),
            fits: offload_plan.fits(),
            file_bytes: present,
            file_bytes_needed: needed,
            places: offload_plan.gpus.iter().chain([&offload_plan.cpu]).map(Place::from).collect(),
            draft: plan.draft.as_ref().map(|cpu| Place { name: DRAFT.to_owned(), ..cpu.into() }),
            doubtful_draft: plan.doubtful_draft.clone(),
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and text have a JSON form")
    }

    pub(super) fn table(&self) -> String {
        let Self { model, arch, ctx_size, parallel, kv_tokens, kv_type, .. } = self;
        let page = format!(
            "{model} · {arch}\n\
             {ctx_size} tokens a request · {slots} · KV cache of {kv_tokens} tokens in {kv_type}{scores}\n\
             up to {kept} MiB more for finished conversations: {in_all} MiB of ordinary memory in all\n\
             {incomplete}",
            slots = slots(*parallel),
            scores = without_flash_attention(self.flash_attention),
            kept = mib(self.cache_ram_bytes as u64),
            in_all = mib(self.ordinary_memory()),
            incomplete = self.incomplete(),
        );
        let doubt = self.doubtful_draft.iter().map(|doubt| format!("\nwarning: {doubt}\n"));
        page + &self.places() + &doubt.collect::<String>()
    }

    /// Bytes with the processor, the draft model and finished conversations included.
    fn ordinary_memory(&self) -> u64 {
        let without_budget = self.rows().filter(|place| place.budget.is_none());
        without_budget.map(|place| place.total).sum::<u64>() + self.cache_ram_bytes as u64
    }

    fn rows(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().chain(&self.draft)
    }

    fn incomplete(&self) -> String {
        if self.file_bytes >= self.file_bytes_needed {
            return String::new();
        }
        format!(
            "the file is incomplete ({} of {} MiB): enough for a plan, too little to serve it\n",
            mib(self.file_bytes),
            mib(self.file_bytes_needed),
        )
    }

    /// What lies where, and what would change it.
    pub(super) fn places(&self) -> String {
        let Self { gpu_layers, n_layers, why, .. } = self;
        let mut page = format!("{gpu_layers} of {n_layers} layers on cards: {why}\n\n");
        let width = self.rows().map(|place| place.name.chars().count()).max().unwrap_or(0);
        let _ = writeln!(
            page,
            "{:width$}  {:>6}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
            "MiB", "layers", "weights", "KV", "compute", "context", "total", "may use"
        );
        for place in self.rows() {
            let Place { name, layers, weights, kv, compute, context, total, budget } = place;
            let _ = writeln!(
                page,
                "{name:width$}  {layers:>6}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
                mib(*weights),
                mib(*kv),
                mib(*compute),
                mib(*context),
                mib(*total),
                budget.map_or_else(|| "-".to_owned(), mib),
            );
        }
        let over = self.places.iter().filter_map(|Place { name, total, budget, .. }| {
            let over = budget.map_or(0, |budget| total.saturating_sub(budget));
            (over > 0).then(|| format!("{name} would hold {} MiB more than it may", mib(over)))
        });
        let notes: Vec<_> = over.chain(self.advice.iter().cloned()).collect();
        if !notes.is_empty() {
            let _ = writeln!(page, "\n{}", notes.join("\n"));
        }
        page
    }
}
