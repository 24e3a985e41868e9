//! How large the parts of a model are, once they are loaded.

use crate::llama::file::{Header, Kept, Memory, Part};

use super::attention::HEAD_STEP;

/// The KV cache is laid out in blocks of this many cells; llama.cpp rounds the cache of windowed
/// layers up to it.
const KV_BLOCK: u64 = 256;

/// Numbers in a block of the packed types.
const PACKED: u64 = 32;

/// Bytes of a number of a layer's state.
const STATE_NUMBER: u64 = 4;

/// How the KV cache stores its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvType {
    /// 16-bit floats.
    F16,
    /// 8 bits each, in blocks of 32 with a scale.
    Q8,
    /// 4 bits each, likewise.
    Q4,
}

impl KvType {
    /// Its name in ggml.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8_0",
            Self::Q4 => "q4_0",
        }
    }

    /// Bytes of a row of `n` numbers.
    fn row(self, n: u64) -> u64 {
        match self {
            Self::F16 => n.saturating_mul(2),
            Self::Q8 => n.div_ceil(PACKED).saturating_mul(34),
            Self::Q4 => n.div_ceil(PACKED).saturating_mul(18),
        }
    }
}

/// What a model has to hold and compute at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct Demand {
    /// Cells of the KV cache.
    pub(in crate::llama) kv_tokens: u64,
    /// Requests at once.
    pub(in crate::llama) slots: u64,
    /// Most tokens of a step.
    pub(in crate::llama) ubatch: u64,
    /// Most outputs of a step.
    pub(in crate::llama) outputs: u64,
    pub(in crate::llama) kv_type: KvType,
    pub(in crate::llama) flash_attention: bool,
}

impl Demand {
    /// Cells of a layer that sees everything.
    pub(super) fn cells(&self) -> u64 {
        self.kv_tokens.next_multiple_of(KV_BLOCK)
    }
}

/// One layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::llama) struct Layer {
    /// Bytes of the weights that every token uses.
    pub(in crate::llama) weights: u64,
    /// Bytes of its experts.
    pub(in crate::llama) experts: u64,
    /// What it keeps of the tokens before.
    pub(super) kept: Kept,
}

/// The sizes of a model's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) struct Sizes {
    pub(in crate::llama) layers: Vec<Layer>,
    /// Bytes of the token embeddings, which stay with the processor.
    pub(in crate::llama) embedding: u64,
    /// Bytes of what else is looked up before the first layer, which stays there too.
    pub(in crate::llama) input: u64,
    /// Bytes of the output matrix and norm.
    pub(in crate::llama) output: u64,
    /// Whether the output matrix is the token embeddings once more: a card gets a copy of its own.
    pub(in crate::llama) is_tied: bool,
    /// Bytes that copies in another order take with the processor beside what the file has.
    pub(in crate::llama) copied: u64,
    /// Bytes of the largest matrix of a layer, experts aside.
    pub(super) largest: u64,
    /// Bytes of the largest matrix of experts.
    pub(super) largest_experts: u64,
    pub(super) window: u64,
    pub(super) n_embd: u64,
    /// Width of the widest dense feed-forward layer.
    pub(super) n_ff: u64,
    /// Floats a token needs in the experts it uses: projected up, and down.
    pub(super) experts_up: u64,
    pub(super) experts_down: u64,
    pub(super) n_head: u64,
    /// Numbers of all heads' queries.
    pub(super) queries: u64,
    /// Numbers a token is widened to in layers with a state.
    pub(super) inner: u64,
    pub(super) n_vocab: u64,
    /// Whether the heads fill the blocks of packed types, so that the KV cache can be of one.
    pub(in crate::llama) is_packable: bool,
    /// Numbers of a head's keys.
    pub(super) head: u64,
}

impl Sizes {
    /// Reads the sizes from a header that has been checked.
    pub(in crate::llama) fn read(header: &Header, arch: &str, n_layers: u32) -> Self {
        let number = |key: &str| header.unsigned(&format!("{arch}.{key}")).unwrap_or(0);
        let greatest = |key: &str| {
            let numbers = header.numbers(&format!("{arch}.{key}")).iter();
            numbers.filter_map(|&n| u64::try_from(n).ok()).max()
        };
        let memory = Memory::read(header, arch, n_layers);
        let layer = |&kept: &Kept| Layer { kept, ..Layer::default() };
        let mut layers: Vec<Layer> = memory.layers.iter().map(layer).collect();
        let (mut embedding, mut input, mut output, mut other) = (0, 0, 0, 0);
        let (mut n_vocab, mut largest, mut largest_experts) = (0, 0, 0);
        for tensor in &header.tensors {
            let bytes = tensor.bytes.unwrap_or(0);
            match tensor.part {
                Part::Layer(i) => {
                    largest = bytes.max(largest);
                    match layers.get_mut(i as usize) {
                        Some(layer) => layer.weights += bytes,
                        None => other += bytes,
                    }
                }
                Part::Experts(i) => {
                    largest_experts = bytes.max(largest_experts);
                    match layers.get_mut(i as usize) {
                        Some(layer) => layer.experts += bytes,
                        None => other += bytes,
                    }
                }
                Part::Embedding => {
                    embedding += bytes;
                    n_vocab = tensor.elements / number("embedding_length").max(1);
                }
                Part::Input => input += bytes,
                Part::Output => output += bytes,
                Part::Other => other += bytes,
            }
        }
        let is_tied = output == 0;
        let n_embd = number("embedding_length");
        let n_head = greatest("attention.head_count").unwrap_or(1).max(1);
        let n_ff = greatest("feed_forward_length").unwrap_or(0);
        let hidden = greatest("expert_feed_forward_length").unwrap_or(n_ff);
        let used = greatest("expert_used_count").unwrap_or(0);
        let (experts_up, experts_down) = (used.saturating_mul(hidden), used.saturating_mul(n_embd));
        Self {
            layers,
            embedding,
            input,
            output: if is_tied { embedding } else { output } + other,
            is_tied,
            copied: 0,
            largest,
            largest_experts,
            window: memory.window,
            n_embd,
            n_ff,
            experts_up,
            experts_down,
            n_head,
            queries: n_head.saturating_mul(memory.head),
            inner: number("ssm.inner_size"),
            n_vocab,
            is_packable: memory.fills_blocks_of(PACKED),
            head: memory.head,
        }
    }

    /// Whether llama.cpp's flash attention on a CPU computes the heads slowly; see
    /// [`super::attention`].
    pub(in crate::llama) fn has_odd_heads(&self) -> bool {
        !self.head.is_multiple_of(HEAD_STEP)
    }

    /// Whether there are layers with a window that have fewer cells than the others.
    pub(in crate::llama) fn has_few_cells(&self, demand: &Demand) -> bool {
        self.layers.iter().any(|layer| layer.kept.is_windowed)
            && self.windowed_cells(demand) < demand.cells()
    }

    /// Bytes that a layer keeps of the tokens before: its part of the KV cache, or its states.
    pub(in crate::llama) fn kv(&self, layer: usize, demand: &Demand) -> u64 {
        let Some(Layer { kept, .. }) = self.layers.get(layer) else { return 0 };
        let cells = if kept.is_windowed { self.windowed_cells(demand) } else { demand.cells() };
        // Without flash attention the values lie transposed, all layers' alike.
        let values = match demand.flash_attention {
            false if kept.values > 0 => self.most_values(),
            _ => kept.values,
        };
        let row = demand.kv_type.row(kept.keys).saturating_add(demand.kv_type.row(values));
        let states = kept.state.saturating_mul(STATE_NUMBER).saturating_mul(demand.slots);
        cells.saturating_mul(row).saturating_add(states)
    }

    /// Numbers of a token's values in the layer that has most.
    pub(super) fn most_values(&self) -> u64 {
        self.layers.iter().map(|layer| layer.kept.values).max().unwrap_or(0)
    }

    /// Cells of a layer that sees only a window, as `llama_kv_cache_iswa` of llama.cpp counts them
    /// for a unified cache.
    pub(super) fn windowed_cells(&self, demand: &Demand) -> u64 {
        let window = self.window.saturating_mul(demand.slots).saturating_add(demand.ubatch);
        window.min(demand.cells()).next_multiple_of(KV_BLOCK)
    }
}
