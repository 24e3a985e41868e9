//! The plan as a table for people and as JSON for programs.
//!
//! The names of the fields are the wire format of `inference-core plan --json` (docs/GPU.md). The
//! start screen shows the part about the devices.

use serde::Serialize;

use crate::llama::{FileExtent, GpuDevice, ModelDescription};

use super::ServePlan;
use super::table::{DeviceRow, mib, table};
use crate::daemon::columns::wrap;
use crate::daemon::units::{bytes, count};

/// What `inference-core plan` prints. The fields are also the fields of the JSON; sizes are in
/// bytes.
#[derive(Debug, Serialize)]
pub(in crate::daemon) struct PlanPage {
    model: String,
    arch: String,
    /// Size of the weights in the file or files.
    weights_bytes: u64,
    /// Maximum number of tokens of a request.
    ctx_size: usize,
    /// Number of slots.
    parallel: u32,
    /// Size of the KV cache for all slots.
    kv_tokens: u32,
    kv_type: &'static str,
    flash_attention: bool,
    /// Maximum host RAM for cached sequences outside the KV cache.
    cache_ram_bytes: usize,
    vram_reserve_bytes: u64,
    /// Offloaded layers, the output matrix counted as one.
    gpu_layers: u32,
    /// All layers, the output matrix counted as one.
    n_layers: u32,
    /// The number of first layers that are offloaded without their experts.
    cpu_expert_layers: u32,
    /// Why this many layers are offloaded.
    why: String,
    /// Whether every GPU stays within its budget.
    fits: bool,
    /// Options that would put more of the model on GPUs, one line each.
    advice: Vec<String>,
    /// Bytes of the model's file or files that exist.
    file_bytes: u64,
    /// Bytes that the complete file or files have.
    file_bytes_needed: u64,
    /// The GPUs, then the CPU.
    places: Vec<DeviceRow>,
    /// The draft model, which stays on the CPU.
    draft: Option<DeviceRow>,
    /// What makes the model's answers worse, and what this machine has too little memory for.
    warnings: Vec<String>,
    /// A warning about the draft model, one line.
    #[serde(rename = "doubtful_draft")]
    draft_warning: Option<String>,
}

impl PlanPage {
    pub(in crate::daemon) fn new(description: &ModelDescription, plan: &ServePlan) -> Self {
        let ModelDescription { info: model, extent, .. } = description;
        let FileExtent { present, needed } = *extent;
        let offload_plan = &plan.offload_plan;
        let devices = offload_plan.gpus.iter().chain([&offload_plan.cpu]);
        let draft = plan.draft.as_ref();
        Self {
            model: model.name.clone(),
            arch: model.arch.clone(),
            weights_bytes: model.size_bytes,
            ctx_size: plan.engine.ctx_size,
            parallel: plan.llama.parallel,
            kv_tokens: plan.llama.kv_tokens(),
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
            places: devices.map(DeviceRow::from).collect(),
            draft: draft.map(DeviceRow::of_draft),
            warnings: plan.warnings.clone(),
            draft_warning: plan.draft_warning.clone(),
        }
    }

    /// The whole page as JSON.
    pub(in crate::daemon) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and text have a JSON form")
    }

    /// Adds a warning.
    pub(in crate::daemon) fn with_warning(mut self, warning: Option<String>) -> Self {
        self.warnings.extend(warning);
        self
    }

    /// The whole page as text, at most 80 columns wide.
    pub(in crate::daemon) fn table(&self) -> String {
        let Self { model, arch, ctx_size, kv_tokens, kv_type, .. } = self;
        let facts = [
            format!("{model} · {arch} · {} of weights", bytes(self.weights_bytes as f64)),
            format!(
                "{ctx_size} tokens per request · {slots} · KV cache of {kv_tokens} tokens in \
                 {kv_type}{flash}",
                slots = count(self.parallel as usize, "slot"),
                flash = flash_attention_note(self.flash_attention),
            ),
        ];
        let mut page: String = facts.iter().map(|line| wrap("", line, " · ") + "\n").collect();
        let host_ram = bytes(self.host_ram() as f64);
        page +=
            &(wrap("", &format!("{host_ram} of host RAM{}", self.cache_ram_note()), " ") + "\n");
        page += &self.incomplete_file();
        page += &self.devices();
        for warning in self.warnings.iter().chain(&self.draft_warning) {
            page += &format!("\n{}\n", wrap("warning: ", warning, " "));
        }
        page
    }

    /// How much of the host RAM is for cached sequences; empty if none is.
    fn cache_ram_note(&self) -> String {
        match self.cache_ram_bytes {
            0 => String::new(),
            max => format!(", including up to {} for finished conversations", bytes(max as f64)),
        }
    }

    /// Bytes of host RAM: model, draft model and cached sequences.
    fn host_ram(&self) -> u64 {
        let without_budget = self.rows().filter(|row| row.budget.is_none());
        without_budget.map(|row| row.total).sum::<u64>() + self.cache_ram_bytes as u64
    }

    /// The rows of all devices and of the draft model.
    fn rows(&self) -> impl Iterator<Item = &DeviceRow> {
        self.places.iter().chain(&self.draft)
    }

    /// A line about missing bytes; empty if the model is complete.
    fn incomplete_file(&self) -> String {
        if self.file_bytes >= self.file_bytes_needed {
            return String::new();
        }
        let line = format!(
            "the file is incomplete ({} of {} MiB): enough for a plan, but it cannot be served",
            mib(self.file_bytes),
            mib(self.file_bytes_needed),
        );
        wrap("", &line, " ") + "\n"
    }

    /// What each device holds, and what would put more on the GPUs.
    pub(in crate::daemon) fn devices(&self) -> String {
        let Self { gpu_layers, n_layers, why, .. } = self;
        let mut page =
            wrap("", &format!("{gpu_layers} of {n_layers} layers on the GPU: {why}"), " ");
        page += "\n\n";
        page += &table(&self.rows().collect::<Vec<_>>());
        let excess =
            self.places.iter().filter(|row| row.excess() > 0).map(|row| {
                format!("{} exceeds its budget by {} MiB", row.label(), mib(row.excess()))
            });
        let notes: Vec<String> = excess.chain(self.advice.iter().cloned()).collect();
        if !notes.is_empty() {
            page += "\n";
        }
        for note in notes {
            page += &(wrap("", &note, " ") + "\n");
        }
        page
    }
}

/// Hypothetical GPUs to plan for, each with the given number of free bytes.
pub(in crate::daemon) fn hypothetical_gpus(free: &[u64]) -> Vec<GpuDevice> {
    let named = |(i, &free): (usize, &u64)| GpuDevice {
        name: format!("GPU {i}"),
        device: String::new(),
        free,
    };
    free.iter().enumerate().map(named).collect()
}

/// A note for the user if flash attention is off, which costs memory.
pub(in crate::daemon) fn flash_attention_note(flash_attention: bool) -> &'static str {
    if flash_attention { "" } else { " · no flash attention" }
}
