//! The options of a load, and what follows from them for the engine and for a context.
//!
//! The draft model gets options of its own, derived from the options of the main model.

use serde::{Deserialize, Serialize};

use crate::engine::Limits;
use crate::llama::error::LoadError;
use crate::llama::file::ModelDescription;
use crate::llama::fit::{KvType, OffloadTarget};
use crate::llama::run::{ContextOptions, SequenceReuse};

/// How to run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The data type of the KV cache.
    pub kv_type: KvType,
    /// How many layers to offload to the GPUs.
    pub gpu_layers: OffloadTarget,
    /// Bytes of VRAM to leave free on each GPU.
    pub vram_reserve: u64,
    /// Size of the KV cache in tokens, for each slot.
    pub slot_tokens: u32,
    /// Number of slots: requests that are computed at the same time.
    pub parallel: u32,
    /// Maximum number of tokens in a step.
    pub ubatch: u32,
    /// Maximum number of draft tokens in a step, at most [`crate::engine::max_draft_tokens`].
    pub n_draft: u32,
    /// Number of threads that compute.
    pub threads: u32,
    /// Whether fewer threads compute while other programs use the CPUs.
    pub has_adaptive_threads: bool,
    /// Whether to use flash attention; `None` decides by the model and the machine.
    pub flash_attention: Option<bool>,
}

impl Options {
    /// Size of the KV cache in tokens, for all slots.
    pub fn kv_tokens(&self) -> u32 {
        self.slot_tokens.saturating_mul(self.parallel)
    }

    /// The options of the draft model for a main model with these options. The draft model stays on
    /// the CPU: VRAM is of more use to the main model.
    pub(super) fn for_draft(self) -> Self {
        Self {
            gpu_layers: OffloadTarget::Layers(0),
            kv_type: KvType::F16,
            flash_attention: None,
            n_draft: 0,
            ..self
        }
    }

    /// What the engine may ask of a model with these options.
    pub(super) fn limits(&self, reuse: SequenceReuse) -> Limits {
        Limits {
            n_ubatch: self.ubatch as usize,
            n_slots: self.parallel as usize,
            slot_tokens: self.slot_tokens as usize,
            n_draft: if reuse.can_draft() { self.n_draft as usize } else { 0 },
        }
    }

    /// The options of the context. `flash_attention` is the choice made for the model, and
    /// `can_drop_tokens` says whether a token that was computed can be dropped again.
    pub(super) fn for_context(
        &self,
        is_offloaded: bool,
        flash_attention: Option<bool>,
        can_drop_tokens: bool,
    ) -> ContextOptions {
        ContextOptions {
            slot_tokens: self.slot_tokens.next_multiple_of(KV_CELL_BLOCK),
            n_ubatch: self.ubatch,
            n_slots: self.parallel,
            can_drop_tokens,
            n_outputs: self.parallel + self.n_draft,
            n_threads: i32::try_from(self.threads).unwrap_or(i32::MAX),
            flash_attention,
            kv_type: self.kv_type,
            is_offloaded,
        }
    }
}

/// llama.cpp computes attention over blocks of this many cells of the KV cache.
const KV_CELL_BLOCK: u32 = 256;

/// Checks that the options fit each other and the model.
///
/// # Errors
/// [`LoadError::Options`], which names the option that does not fit.
pub fn check(description: &ModelDescription, options: &Options) -> Result<(), LoadError> {
    if options.kv_type == KvType::F16 {
        return Ok(());
    }
    let name = options.kv_type.name();
    if options.flash_attention == Some(false) {
        return Err(LoadError::Options(format!(
            "--kv-type {name} needs flash attention: leave out --flash-attn off, or use \
             --kv-type f16"
        )));
    }
    if !description.sizes.can_quantize_kv {
        return Err(LoadError::Options(format!(
            "--kv-type {name} stores values in blocks of 32, but the attention head size of {} is \
             not a multiple of 32: use --kv-type f16",
            description.info.name
        )));
    }
    Ok(())
}
