//! The context, the KV cache and the offload plan that the configuration gives for a model.
//!
//! This decides the defaults that depend on the model, and refuses sizes that do not fit it or
//! each other.

use crate::cli::{Config, GpuLayers, KvTypeChoice};
use crate::domain::ModelInfo;
use crate::engine;
use crate::llama::{self, GpuDevice, LoadError, ModelDescription, OffloadPlan, OffloadTarget};

/// How the model runs, and where its layers go.
#[derive(Debug, Clone)]
pub(super) struct Arrangement {
    /// Maximum number of tokens of a request.
    pub(super) ctx_size: u32,
    pub(super) llama: llama::Options,
    pub(super) offload_plan: OffloadPlan,
}

impl Arrangement {
    /// Arranges the model on `gpus`. With `--kv-type auto` the KV cache is q8_0 if it lets more
    /// layers or experts be offloaded or makes the requested layers fit, otherwise f16.
    ///
    /// # Errors
    /// [`LoadError::Options`], if the configuration does not fit the model.
    pub(super) fn new(
        config: &Config,
        description: &ModelDescription,
        gpus: &[GpuDevice],
    ) -> Result<Self, LoadError> {
        let ctx_size = ctx_size(config, &description.info)?;
        let slot_tokens = slot_tokens(config, ctx_size)?;
        let llama = llama_options(config, slot_tokens);
        llama::check(description, &llama)?;
        let offload_plan = llama::plan_offload(description, &llama, gpus);
        if config.kv_type == KvTypeChoice::Auto {
            let quantized = llama::Options { kv_type: llama::KvType::Q8, ..llama };
            let candidate = llama::plan_offload(description, &quantized, gpus);
            let is_possible = llama::check(description, &quantized).is_ok();
            if is_possible && candidate.offloads_more_than(&offload_plan) {
                return Ok(Self { ctx_size, llama: quantized, offload_plan: candidate });
            }
        }
        Ok(Self { ctx_size, llama, offload_plan })
    }
}

/// Maximum number of tokens of a request: at most the training context of the model, and at most
/// the part of the KV cache that each slot has.
fn ctx_size(config: &Config, model: &ModelInfo) -> Result<u32, LoadError> {
    let ModelInfo { n_ctx_train, name, .. } = model;
    let per_slot = config.kv_size.map_or(u32::MAX, |all| all / config.parallel);
    let ctx_size = config.ctx_size.unwrap_or_else(|| DEFAULT_MAX_CTX_SIZE.min(*n_ctx_train));
    if ctx_size > *n_ctx_train {
        return Err(LoadError::Options(format!(
            "--ctx-size {ctx_size} is more than the {n_ctx_train} tokens that {name} was trained \
             on: use at most {n_ctx_train}"
        )));
    }
    if ctx_size > per_slot {
        let (all, parallel) = (config.kv_size.unwrap_or_default(), config.parallel);
        let enough = u64::from(ctx_size) * u64::from(parallel);
        return Err(LoadError::Options(format!(
            "--kv-size {all} gives each of the {parallel} slots {per_slot} tokens, less than the \
             {ctx_size} that a single request may use: use --kv-size {enough}, or lower \
             --ctx-size or --parallel"
        )));
    }
    Ok(ctx_size)
}

/// Size of the KV cache in tokens for each slot, which holds a request of the maximum size.
fn slot_tokens(config: &Config, ctx_size: u32) -> Result<u32, LoadError> {
    let slot_tokens = config.kv_size.map_or(ctx_size, |all| all / config.parallel);
    let all = u64::from(slot_tokens) * u64::from(config.parallel);
    if i32::try_from(all).is_err() {
        return Err(LoadError::Options(format!(
            "a KV cache of {all} tokens is larger than llama.cpp supports: lower --ctx-size, \
             --parallel or --kv-size"
        )));
    }
    Ok(slot_tokens)
}

/// The options of llama.cpp. An automatic data type starts as f16.
fn llama_options(config: &Config, slot_tokens: u32) -> llama::Options {
    llama::Options {
        kv_type: match config.kv_type {
            KvTypeChoice::F16 | KvTypeChoice::Auto => llama::KvType::F16,
            KvTypeChoice::Q8 => llama::KvType::Q8,
            KvTypeChoice::Q4 => llama::KvType::Q4,
        },
        gpu_layers: match config.gpu_layers {
            GpuLayers::Auto => OffloadTarget::Auto,
            GpuLayers::All => OffloadTarget::All,
            GpuLayers::Number(n) => OffloadTarget::Layers(n),
        },
        vram_reserve: config.vram_reserve.unwrap_or(DEFAULT_VRAM_RESERVE_BYTES),
        slot_tokens,
        parallel: config.parallel,
        ubatch: config.ubatch,
        // Reserved even if speculation is off by default, since a request may turn it on.
        n_draft: engine::max_draft_tokens(config.parallel),
        threads: config.threads,
        has_adaptive_threads: config.has_adaptive_threads && config.threads > 1,
        flash_attention: config.flash_attention,
    }
}

/// Maximum default of the number of tokens of a request. Longer contexts need more memory than
/// small GPUs have.
const DEFAULT_MAX_CTX_SIZE: u32 = 4096;

/// Default bytes to leave free on each GPU, for a desktop and some margin.
const DEFAULT_VRAM_RESERVE_BYTES: u64 = 500 << 20;
