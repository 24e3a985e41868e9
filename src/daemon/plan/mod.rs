//! From the configuration and the model to the options of every module.
//!
//! `arrange` decides the context, the KV cache and which layers go to GPUs, `cache_ram` how much
//! host RAM cached sequences may take. `advice` looks for options that would put more of the
//! model on GPUs, and `no_gpu` explains what does not work without one. [`PlanPage`] shows the
//! result as a table or as JSON. Nothing is loaded here.

mod advice;
mod arrange;
mod cache_ram;
mod host_ram;
mod no_gpu;
mod page;
mod table;

use std::time::Duration;

use crate::build_info;
use crate::cli::Config;
use crate::domain::ModelInfo;
use crate::engine;
use crate::gpu;
use crate::llama::{self, DevicePlan, GpuDevice, LoadError, ModelDescription, OffloadPlan};
use crate::machine::AvailableMemory;
use crate::server;

use self::arrange::Arrangement;
use self::host_ram::HostDemand;
use super::output;
use super::units::bytes;

pub(super) use self::page::{PlanPage, flash_attention_note, hypothetical_gpus};

/// The options of all modules, consistent with each other and with the model.
#[derive(Debug, Clone)]
pub(super) struct ServePlan {
    pub(super) llama: llama::Options,
    pub(super) engine: engine::Options,
    pub(super) server: server::Options,
    pub(super) gpu: gpu::Options,
    /// Which layers go to which device, and what they take there.
    pub(super) offload_plan: OffloadPlan,
    /// The host RAM that the model and the draft model take for good.
    host_demand: HostDemand,
    /// What the draft model takes. It stays on the CPU.
    pub(super) draft: Option<DevicePlan>,
    /// What makes the model's answers worse, and a cache that is too large, one sentence each.
    pub(super) warnings: Vec<String>,
    /// A warning about the draft model, one line.
    pub(super) draft_warning: Option<String>,
    /// A warning about GPU options that have no effect, one line.
    pub(super) ignored: Option<String>,
    /// Options that would put more of the model on GPUs, one line each.
    pub(super) advice: Vec<String>,
}

impl ServePlan {
    /// Plans the model and its draft model for `gpus`, and for `available` host RAM; `None` if that
    /// is not known.
    ///
    /// # Errors
    /// [`LoadError::Options`], if the configuration or the draft model does not fit the model.
    pub(super) fn new(
        config: &Config,
        description: &ModelDescription,
        draft: Option<&ModelDescription>,
        gpus: &[GpuDevice],
        available: Option<AvailableMemory>,
    ) -> Result<Self, LoadError> {
        if let Some(draft) = draft {
            llama::check_draft(description, draft)?;
        }
        let arrangement = Arrangement::new(config, description, gpus)?;
        let advice = advice::advice(config, description, gpus, &arrangement);
        let Arrangement { ctx_size, llama, mut offload_plan } = arrangement;
        let mut ignored = None;
        if gpus.is_empty() {
            no_gpu::no_gpu_reason().clone_into(&mut offload_plan.why);
            ignored = no_gpu::ignored_options(config);
        }
        let draft_warning = draft
            .and_then(|draft| draft_warning(draft.info.size_bytes, description.info.size_bytes));
        let draft_plan = draft.map(|draft| llama::plan_draft(draft, &llama));
        let draft_parts = draft.zip(draft_plan.as_ref());
        let host_demand = HostDemand::of_models(description, &offload_plan, draft_parts);
        let mut warnings = description.warnings(ctx_size as usize, offload_plan.flash_attention);
        let spare = available.map(|memory| memory.bytes);
        let cache_ram_bytes = match config.cache_ram {
            None => cache_ram::default_cache_ram(&offload_plan, draft_plan.as_ref(), spare),
            Some(n) => {
                warnings.extend(cache_ram::warning(n, host_demand.total(), spare));
                n
            }
        };
        Ok(Self {
            warnings,
            llama,
            engine: engine_options(config, ctx_size, cache_ram_bytes),
            server: server_options(config)?,
            gpu: gpu_options(config, offload_plan.gpu_layers > 0),
            offload_plan,
            host_demand,
            draft: draft_plan,
            draft_warning,
            ignored,
            advice,
        })
    }

    /// Refuses a plan that needs more host RAM than is `available`; `None` if that is not known.
    ///
    /// # Errors
    /// [`LoadError::Resources`].
    pub(super) fn check_memory(
        &self,
        description: &ModelDescription,
        available: Option<AvailableMemory>,
    ) -> Result<(), LoadError> {
        let refusal = |available| self.host_demand.refusal(self.llama.kv_tokens(), available);
        match available.and_then(refusal) {
            Some(reason) => Err(LoadError::Resources { model: description.source.name(), reason }),
            None => Ok(()),
        }
    }

    /// What the server tells every client about itself and the model.
    pub(super) fn about(&self, model: &ModelInfo) -> server::About {
        let is_on_cpu = self.offload_plan.gpu_layers == 0;
        server::About {
            model: model.clone(),
            version: build_info::VERSION.to_owned(),
            commit: build_info::COMMIT.to_owned(),
            llama_cpp: llama::version(),
            cpu_flags: build_info::CPU_FLAGS.to_owned(),
            backend: if is_on_cpu { build_info::CPU_BACKEND } else { build_info::BACKEND }
                .to_owned(),
            parallel: self.llama.parallel as usize,
            // Clients count the layers of the model. The plan also counts the output matrix.
            gpu_layers: self.offload_plan.gpu_layers.saturating_sub(1),
        }
    }
}

/// A warning about a draft model of `draft` bytes for a model of `model` bytes. Every draft token
/// reads all weights of the draft model, so with more than half the model's bytes two draft tokens
/// take about as long as a step without any.
fn draft_warning(draft: u64, model: u64) -> Option<String> {
    (draft > model / 2).then(|| {
        format!(
            "a draft model of {} hardly speeds up a model of {}: use a much smaller one",
            bytes(draft as f64),
            bytes(model as f64)
        )
    })
}

/// The options of the engine.
fn engine_options(config: &Config, ctx_size: u32, cache_ram_bytes: u64) -> engine::Options {
    engine::Options {
        ctx_size: ctx_size as usize,
        max_tokens: config.max_tokens,
        max_queue: config.max_queue,
        cache_ram_bytes: usize::try_from(cache_ram_bytes).unwrap_or(usize::MAX),
        slow_client_grace: config.slow_client_grace,
        step_target: config.step_target,
        speculative: config.speculative,
        speculation_margin_percent: SPECULATION_MARGIN_PERCENT,
    }
}

/// The options of the server.
///
/// # Errors
/// [`LoadError::Options`], if `--message-memory` has no space for a message of the largest size.
fn server_options(config: &Config) -> Result<server::Options, LoadError> {
    let max_message_bytes = config.max_message_bytes;
    let least = server::Options::min_message_memory(max_message_bytes);
    let message_memory_bytes = match config.message_memory {
        None => server::Options::default_message_memory(max_message_bytes),
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
    };
    if message_memory_bytes < least {
        return Err(LoadError::Options(format!(
            "--message-memory of {message_memory_bytes} bytes is too little for a message of \
             --max-message {}: use at least {}KB, or a smaller --max-message",
            max_message_bytes / 1024,
            least / 1024
        )));
    }
    Ok(server::Options {
        max_message_bytes,
        message_memory_bytes,
        max_connections: config.max_connections,
        allowed_hosts: config.network.allowed_hosts.clone(),
        allowed_origins: config.network.allowed_origins.clone(),
        trusted_proxies: config.network.trusted_proxies.clone(),
        write_grace: config.slow_client_grace + EXTRA_WRITE_GRACE,
        metrics_interval: config.metrics_interval,
        lost_lines: output::lost_lines,
        has_open_metrics: config.access.has_open_metrics,
        has_web: config.network.has_web,
        keeps_attribution: config.keeps_attribution,
        address_limits: config.access.limits,
        ..server::Options::default()
    })
}

/// The options of the GPU monitor. `are_in_use` says that layers of the model are on GPUs.
fn gpu_options(config: &Config, are_in_use: bool) -> gpu::Options {
    gpu::Options {
        interval: config.metrics_interval,
        computing: Vec::new(),
        are_in_use,
        visible: config.visible_gpus.clone(),
    }
}

/// See [`engine::Options::speculation_margin_percent`] (ADR-0009).
const SPECULATION_MARGIN_PERCENT: u32 = 105;

/// How much longer than its request the connection of a slow client exists. A client that reads
/// again in that time learns why its request failed.
const EXTRA_WRITE_GRACE: Duration = Duration::from_secs(20);
