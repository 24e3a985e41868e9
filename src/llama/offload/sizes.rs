//! How large the parts of a model are, once they are loaded.

use super::super::attention::HEAD_STEP;
use super::super::gguf::{Header, Part};

/// The KV cache is laid out in blocks of this many cells; llama.cpp rounds the cache of windowed
/// layers up to it.
const KV_BLOCK: u64 = 256;

/// Floats a token of a step needs besides the widths below: ids, positions, cell indices.
const FEW: u64 = 10;

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
            Self::F16 => n * 2,
            Self::Q8 => n.div_ceil(32) * 34,
            Self::Q4 => n.div_ceil(32) * 18,
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

/// One layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::llama) struct Layer {
    /// Bytes of the weights that every token uses.
    pub(in crate::llama) weights: u64,
    /// Bytes of its experts.
    pub(in crate::llama) experts: u64,
    /// Numbers of a token's keys, and of its values.
    pub(super) keys: u64,
    pub(super) values: u64,
    /// Whether it sees only a window.
    pub(super) is_windowed: bool,
}

/// The sizes of a model's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) struct Sizes {
    pub(in crate::llama) layers: Vec<Layer>,
    /// Bytes of the token embeddings, which stay with the processor.
    pub(in crate::llama) embedding: u64,
    /// Bytes of the output matrix and norm.
    pub(in crate::llama) output: u64,
    /// Whether the output matrix is the token embeddings once more: a card gets a copy of its own.
    pub(in crate::llama) is_tied: bool,
    /// Bytes of the largest matrix of a layer, experts aside.
    pub(super) largest: u64,
    pub(super) window: u64,
    pub(super) n_embd: u64,
    /// Floats a token needs inside a feed-forward layer.
    pub(super) feed_forward: u64,
    pub(super) n_head: u64,
    pub(super) n_vocab: u64,
}

impl Sizes {
    /// Reads the sizes from a header that has been checked.
    pub(in crate::llama) fn read(header: &Header, arch: &str, n_layers: u32) -> Self {
        let number = |key: &str| header.unsigned(&format!("{arch}.{key}")).unwrap_or(0);
        let each = |key: &str, layer: usize| {
            let numbers = header.numbers(&format!("{arch}.{key}"));
            let number = numbers.get(layer).or_else(|| numbers.last());
            number.and_then(|&n| u64::try_from(n).ok())
        };
        let mut layers = vec![Layer::default(); n_layers as usize];
        let (mut embedding, mut output, mut other) = (0, 0, 0);
        let (mut n_vocab, mut largest) = (0, 0);
        for tensor in &header.tensors {
            let bytes = tensor.bytes.unwrap_or(0);
            if matches!(tensor.part, Part::Layer(_)) {
                largest = bytes.max(largest);
            }
            match tensor.part {
                Part::Layer(i) => match layers.get_mut(i as usize) {
                    Some(layer) => layer.weights += bytes,
                    None => other += bytes,
                },
                Part::Experts(i) => match layers.get_mut(i as usize) {
                    Some(layer) => layer.experts += bytes,
                    None => other += bytes,
                },
                Part::Embedding => {
                    embedding += bytes;
                    n_vocab = tensor.elements / number("embedding_length").max(1);
                }
                Part::Output => output += bytes,
                Part::Other => other += bytes,
            }
        }
        let is_tied = output == 0;
        let n_embd = number("embedding_length");
        let n_head = each("attention.head_count", 0).unwrap_or(1).max(1);
        let window = number("attention.sliding_window");
        for (i, layer) in layers.iter_mut().enumerate() {
            let heads = each("attention.head_count", i).unwrap_or(n_head).max(1);
            let kv_heads = each("attention.head_count_kv", i).unwrap_or(heads);
            let head = n_embd / heads;
            let length = |key: &str| header.unsigned(&format!("{arch}.attention.{key}"));
            layer.keys = kv_heads * length("key_length").unwrap_or(head);
            layer.values = kv_heads * length("value_length").unwrap_or(head);
            layer.is_windowed = window > 0 && is_windowed(header, arch, i);
        }
        let n_ff = (0..layers.len()).filter_map(|i| each("feed_forward_length", i)).max();
        let n_ff = n_ff.unwrap_or(0);
        let hidden = header.unsigned(&format!("{arch}.expert_feed_forward_length"));
        let experts = experts_width(n_embd, hidden.unwrap_or(n_ff), number("expert_used_count"));
        Self {
            layers,
            embedding,
            output: if is_tied { embedding } else { output } + other,
            is_tied,
            largest,
            window,
            n_embd,
            // A step computes the experts a token uses, or the dense layer where that is wider.
            feed_forward: dense_width(n_embd, n_ff).max(experts),
            n_head,
            n_vocab,
        }
    }

    /// Whether llama.cpp's flash attention on a CPU computes the heads slowly; see
    /// [`super::super::attention`].
    pub(in crate::llama) fn has_odd_heads(&self) -> bool {
        !(self.n_embd / self.n_head).is_multiple_of(HEAD_STEP)
    }

    /// Bytes of a layer's KV cache.
    pub(in crate::llama) fn kv(&self, layer: usize, demand: &Demand) -> u64 {
        let Some(layer) = self.layers.get(layer) else { return 0 };
        let cells = if layer.is_windowed { self.windowed_cells(demand) } else { cells(demand) };
        cells * (demand.kv_type.row(layer.keys) + demand.kv_type.row(layer.values))
    }

    /// Cells of a layer that sees only a window, as `llama_kv_cache_iswa` of llama.cpp counts them
    /// for a unified cache.
    fn windowed_cells(&self, demand: &Demand) -> u64 {
        let window = self.window * demand.slots + demand.ubatch;
        window.min(cells(demand)).next_multiple_of(KV_BLOCK)
    }

    /// Bytes of the buffers a step is computed in, with the processor and on each card, where
    /// `gpu_layers` are on cards.
    ///
    /// The widths were found by fitting what llama.cpp reports on a CPU and on Vulkan's software
    /// device (`docs/GPU.md` says for which models); they are an estimate for other shapes and
    /// backends.
    pub(in crate::llama) fn compute(&self, demand: &Demand, gpu_layers: u32) -> Compute {
        let cells = cells(demand);
        // llama.cpp makes no step larger than its cache.
        let ubatch = demand.ubatch.min(cells);
        let bytes = |floats: u64| 4 * ubatch * floats;
        let (ffn, embd) = (self.feed_forward, self.n_embd);
        // One mask for the layers that see everything and one for the others, of half floats for
        // flash attention.
        let has_windows = self.layers.iter().any(|layer| layer.is_windowed);
        let masked = cells + if has_windows { self.windowed_cells(demand) } else { 0 };
        let mask = bytes(if demand.flash_attention { masked / 2 } else { masked });
        let scores = if demand.flash_attention { 0 } else { bytes(cells * self.n_head) };
        let logits = 4 * demand.outputs.min(ubatch) * self.n_vocab;
        let larger = |ffn: u64, attention: u64| (mask + ffn.max(scores + attention)).max(logits);
        if gpu_layers == 0 {
            let attention = bytes(if demand.flash_attention { 0 } else { 8 * embd });
            return Compute { cpu: larger(bytes(ffn + 5 * embd + FEW), attention), card: 0 };
        }
        let cpu = mask + bytes(4 * embd + FEW);
        let ffn = bytes(ffn + 4 * embd + FEW);
        if gpu_layers as usize > self.layers.len() {
            return Compute { cpu, card: larger(ffn, bytes(8 * embd)) };
        }
        // Prompts are computed on the card also for the layers beside it, whose weights and cache
        // are lent to it one after the other.
        let lent = (0..self.layers.len()).map(|i| self.kv(i, demand)).max().unwrap_or(0);
        Compute { cpu, card: larger(ffn + self.largest + bytes(2 * embd), bytes(6 * embd) + lent) }
    }
}

/// Bytes of the buffers a step is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct Compute {
    /// With the processor.
    pub(in crate::llama) cpu: u64,
    /// On each card that has layers.
    pub(in crate::llama) card: u64,
}

/// Floats a token needs inside a dense layer `n_ff` wide: two projections up and their product. A
/// narrow one fits into what the attention before it has left.
fn dense_width(n_embd: u64, n_ff: u64) -> u64 {
    let left = if n_ff <= 2 * n_embd { 2 * n_embd } else { 0 };
    (3 * n_ff).saturating_sub(left)
}

/// Floats a token needs inside a layer of experts `hidden` wide, of which it uses `used`: two
/// projections up and their product, or the projections down, whichever is more. Where these are
/// too large for the hole that those leave, llama.cpp's allocator puts them behind; it needs no
/// hole for what is no wider than the layer's own input.
fn experts_width(n_embd: u64, hidden: u64, used: u64) -> u64 {
    let (up, down) = (used * hidden, used * n_embd);
    if up > n_embd && down > 3 * up { 3 * up + down } else { down.max(3 * up) }
}

/// Cells of a layer that sees everything.
fn cells(demand: &Demand) -> u64 {
    demand.kv_tokens.next_multiple_of(KV_BLOCK)
}

/// Whether the layer sees only a window, in models that have one. Files that do not say follow
/// their architecture's habit (`load_swa_pattern` in llama.cpp's models); where that is not known
/// here, the layer counts as one that sees everything, which needs more.
fn is_windowed(header: &Header, arch: &str, layer: usize) -> bool {
    let pattern = header.numbers(&format!("{arch}.attention.sliding_window_pattern"));
    let period = match pattern {
        [] => match arch {
            "gemma2" | "gpt-oss" => 2,
            "afmoe" | "cohere2" | "cohere2moe" | "exaone-moe" | "exaone4" | "laguna" | "llama4"
            | "mellum" | "olmo2" | "smallthinker" => 4,
            "gemma3n" => 5,
            "gemma3" => 6,
            "plamo3" => 8,
            _ => return false,
        },
        [0] => return true,
        [period] => usize::try_from(*period).unwrap_or(1),
        each => return each.get(layer).is_some_and(|&windowed| windowed != 0),
    };
    // Every period's last layer sees everything, or its first.
    let whole = match arch {
        "cohere2moe" | "laguna" | "smallthinker" => 0,
        _ => period - 1,
    };
    period > 1 && layer % period != whole
}
