//! How large the parts of a model are once they are loaded.
//!
//! [`ModelSizes`] holds what the header says about weights and dimensions. What a context takes
//! also depends on the options, which a [`Demand`] holds.

use serde::{Deserialize, Serialize};

use crate::llama::file::{ArchMetadata, CacheLayout, LayerCache, Tensor, TensorRole};

use super::attention::HEAD_STEP;

/// Data type of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvType {
    /// 16-bit floats.
    F16,
    /// 8 bits per number, in blocks of 32 with a scale.
    Q8,
    /// 4 bits per number, in blocks of 32 with a scale.
    Q4,
}

impl KvType {
    /// ggml's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8_0",
            Self::Q4 => "q4_0",
        }
    }

    /// Bytes of a row of `n` numbers.
    fn row_bytes(self, n: u64) -> u64 {
        match self {
            Self::F16 => n.saturating_mul(2),
            Self::Q8 => n.div_ceil(QUANT_BLOCK).saturating_mul(34),
            Self::Q4 => n.div_ceil(QUANT_BLOCK).saturating_mul(18),
        }
    }
}

/// What a context must hold and compute at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct Demand {
    /// Tokens in the KV cache, for each slot.
    pub(in crate::llama) slot_tokens: u64,
    /// Number of slots.
    pub(in crate::llama) n_slots: u64,
    /// Maximum number of tokens of a step.
    pub(in crate::llama) n_ubatch: u64,
    /// Maximum number of tokens of a step whose logits are computed.
    pub(in crate::llama) n_outputs: u64,
    /// Data type of the KV cache.
    pub(in crate::llama) kv_type: KvType,
    /// Whether flash attention is used, which stores no attention scores.
    pub(in crate::llama) flash_attention: bool,
}

impl Demand {
    /// Cells of a full-attention layer for each slot.
    pub(super) fn cells(&self) -> u64 {
        self.slot_tokens.next_multiple_of(CELL_BLOCK)
    }
}

/// The sizes of a layer's parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) struct LayerSizes {
    /// Bytes of the weights that every token uses.
    pub(in crate::llama) weights: u64,
    /// Bytes of the experts.
    pub(in crate::llama) experts: u64,
    /// What the layer caches about earlier tokens.
    pub(super) cache: LayerCache,
}

/// The sizes of a model's parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) struct ModelSizes {
    /// The layers, in order.
    pub(in crate::llama) layers: Vec<LayerSizes>,
    /// Bytes of the token embeddings, which stay on the CPU.
    pub(in crate::llama) embedding: u64,
    /// Bytes of other tables that are looked up before the first layer and stay on the CPU.
    pub(in crate::llama) input: u64,
    /// Bytes of the output matrix and of the tensors outside the layers.
    pub(in crate::llama) output: u64,
    /// Whether the token embeddings also serve as the output matrix; a GPU then gets a copy of
    /// them.
    pub(in crate::llama) is_tied: bool,
    /// Bytes that repacked copies take on the CPU in addition to the weights in the file.
    pub(in crate::llama) repacked: u64,
    /// Bytes of the largest matrix of a layer, experts aside.
    pub(super) largest_matrix: u64,
    /// Bytes of the largest matrix of experts.
    pub(super) largest_expert_matrix: u64,
    /// Tokens in the sliding window; 0 without windowed layers.
    pub(super) window: u64,
    /// Width of the model.
    pub(super) n_embd: u64,
    /// Width of the widest dense feed-forward layer.
    pub(super) n_ff: u64,
    /// Numbers inside the experts that a token uses, together.
    pub(super) experts_up: u64,
    /// Numbers in the outputs of these experts, together.
    pub(super) experts_down: u64,
    /// Largest number of heads of a layer.
    pub(super) n_head: u64,
    /// Numbers in a token's queries, over all heads.
    pub(super) query_width: u64,
    /// Numbers that a token is widened to in layers with a recurrent state; 0 without such layers.
    pub(super) state_width: u64,
    /// Number of tokens in the vocabulary.
    pub(super) n_vocab: u64,
    /// Whether the head sizes are multiples of the block of quantized types, so that the KV cache
    /// can be quantized.
    pub(in crate::llama) can_quantize_kv: bool,
    /// Numbers in the keys of one head.
    pub(super) head_size: u64,
}

impl ModelSizes {
    /// Reads the sizes from a header that has been checked.
    pub(in crate::llama) fn read(
        meta: ArchMetadata<'_>,
        tensors: &[Tensor],
        n_layers: u32,
    ) -> Self {
        let layout = CacheLayout::read(meta, n_layers);
        let n_embd = bounded(meta.unsigned("embedding_length").unwrap_or(0));
        let n_head = bounded(meta.max("attention.head_count").unwrap_or(1).max(1));
        let n_ff = bounded(meta.max("feed_forward_length").unwrap_or(0));
        let expert_width = meta.max("expert_feed_forward_length").unwrap_or(n_ff);
        let n_used = meta.max("expert_used_count").unwrap_or(0);
        let layer = |&cache: &LayerCache| LayerSizes { cache, ..LayerSizes::default() };
        let mut sizes = Self {
            layers: layout.layers.iter().map(layer).collect(),
            embedding: 0,
            input: 0,
            output: 0,
            is_tied: false,
            repacked: 0,
            largest_matrix: 0,
            largest_expert_matrix: 0,
            window: layout.window,
            n_embd,
            n_ff,
            experts_up: bounded(n_used.saturating_mul(expert_width)),
            experts_down: bounded(n_used.saturating_mul(n_embd)),
            n_head,
            query_width: bounded(n_head.saturating_mul(layout.head_size)),
            state_width: bounded(meta.unsigned("ssm.inner_size").unwrap_or(0)),
            n_vocab: 0,
            can_quantize_kv: layout.has_head_sizes_divisible_by(QUANT_BLOCK),
            head_size: layout.head_size,
        };
        sizes.add_tensors(tensors);
        sizes
    }

    /// Adds the bytes of all tensors. Tensors outside the layers count towards the output matrix.
    fn add_tensors(&mut self, tensors: &[Tensor]) {
        let mut other = 0;
        for tensor in tensors {
            let bytes = tensor.bytes.unwrap_or(0);
            match tensor.role {
                TensorRole::Layer(i) => {
                    self.largest_matrix = bytes.max(self.largest_matrix);
                    match self.layers.get_mut(i as usize) {
                        Some(layer) => layer.weights += bytes,
                        None => other += bytes,
                    }
                }
                TensorRole::Experts(i) => {
                    self.largest_expert_matrix = bytes.max(self.largest_expert_matrix);
                    match self.layers.get_mut(i as usize) {
                        Some(layer) => layer.experts += bytes,
                        None => other += bytes,
                    }
                }
                TensorRole::Embedding => {
                    self.embedding += bytes;
                    self.n_vocab = bounded(tensor.elements / self.n_embd.max(1));
                }
                TensorRole::Input => self.input += bytes,
                TensorRole::Output => self.output += bytes,
                TensorRole::Other => other += bytes,
            }
        }
        self.is_tied = self.output == 0;
        self.output = if self.is_tied { self.embedding } else { self.output } + other;
    }

    /// Whether flash attention is slow on a CPU for this model; see [`super::attention`].
    pub(in crate::llama) fn has_unaligned_heads(&self) -> bool {
        !self.head_size.is_multiple_of(HEAD_STEP)
    }

    /// Bytes that layer `layer` caches: its part of the KV cache, and its recurrent states.
    pub(in crate::llama) fn kv_bytes(&self, layer: usize, demand: &Demand) -> u64 {
        let Some(LayerSizes { cache, .. }) = self.layers.get(layer) else { return 0 };
        let cells = if cache.is_windowed { self.windowed_cells(demand) } else { demand.cells() };
        // Without flash attention values are stored transposed, with the same width in all layers.
        let values = match demand.flash_attention {
            false if cache.values > 0 => self.max_values(),
            _ => cache.values,
        };
        let row = demand.kv_type.row_bytes(cache.keys);
        let row = row.saturating_add(demand.kv_type.row_bytes(values));
        let state = cache.state.saturating_mul(STATE_NUMBER_BYTES);
        let bytes = cells.saturating_mul(row).saturating_add(state).saturating_mul(demand.n_slots);
        bytes.min(MAX_ESTIMATE_BYTES)
    }

    /// Largest number of values that a layer caches for a token, over all heads.
    pub(super) fn max_values(&self) -> u64 {
        bounded(self.layers.iter().map(|layer| layer.cache.values).max().unwrap_or(0))
    }

    /// Cells of a windowed layer for each slot, as llama.cpp's `llama_kv_cache_iswa` counts them.
    pub(super) fn windowed_cells(&self, demand: &Demand) -> u64 {
        let window = self.window.saturating_add(demand.n_ubatch);
        window.min(demand.cells()).next_multiple_of(CELL_BLOCK)
    }
}

/// A count of numbers of the header, at most [`MAX_NUMBERS`].
fn bounded(n: u64) -> u64 {
    n.min(MAX_NUMBERS)
}

/// Largest count of numbers that estimates use. No model has as many, and products of a few of them
/// do not overflow.
const MAX_NUMBERS: u64 = 1 << 40;
/// Largest estimate in bytes for the cache of a layer or for a compute buffer. No machine has as
/// much memory, and sums over all layers and GPUs do not overflow.
pub(super) const MAX_ESTIMATE_BYTES: u64 = 1 << 50;
/// Cells in a block of the KV cache; llama.cpp rounds the cache of windowed layers up to it.
const CELL_BLOCK: u64 = 256;
/// Numbers in a block of the quantized types.
const QUANT_BLOCK: u64 = 32;
/// Bytes of a number in a recurrent state.
const STATE_NUMBER_BYTES: u64 = 4;
