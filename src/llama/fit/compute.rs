//! How large the buffers are that a step is computed in.
//!
//! llama.cpp lays a step's intermediate results out by how long each is needed, and the moment at
//! which most of them are there decides. The sums below are those moments, as floats a token. They
//! were found by fitting what llama.cpp reports on a CPU and on Vulkan's software device
//! (`docs/GPU.md` says for which models and how well) and are an estimate for other shapes and
//! backends.

use super::sizes::{Demand, Sizes};

/// Floats a token of a step needs besides the widths: ids, positions, cell indices.
const FEW: u64 = 10;

/// Bytes of the buffers a step is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct Compute {
    /// With the processor.
    pub(in crate::llama) cpu: u64,
    /// On each card that has layers.
    pub(in crate::llama) card: u64,
}

/// What of a model stays with the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) enum Behind {
    /// All of it.
    Everything,
    /// Some layers.
    Layers,
    /// The experts of some layers.
    Experts,
    /// The token embeddings alone.
    Nothing,
}

impl Sizes {
    /// Bytes of the buffers a step is computed in.
    pub(in crate::llama) fn compute(&self, demand: &Demand, behind: Behind) -> Compute {
        let cells = demand.cells();
        // llama.cpp makes no step larger than its cache.
        let ubatch = demand.ubatch.min(cells);
        let bytes = |floats: u64| floats.saturating_mul(4 * ubatch);
        let (embd, queries, values) = (self.n_embd, self.queries, self.most_values());
        let is_flash = demand.flash_attention;
        // One mask for the layers that see everything and one for the others, of half floats for
        // flash attention.
        let mut attending = self.layers.iter().filter(|layer| layer.kept.keys > 0);
        let has_windows = attending.clone().any(|layer| layer.kept.is_windowed);
        let has_others = attending.any(|layer| !layer.kept.is_windowed);
        let masked = if has_others { cells } else { 0 }
            + if has_windows { self.windowed_cells(demand) } else { 0 };
        let mask = bytes(if is_flash { masked / 2 } else { masked });
        // Without flash attention each value is put where it belongs by a 64-bit index of its own.
        let indices = if is_flash { 0 } else { 2 * values * if has_windows { 2 } else { 1 } };
        let scores = if is_flash { 0 } else { bytes(cells.saturating_mul(self.n_head)) };
        let attention = if is_flash {
            3 * queries + values + 2 * embd
        } else {
            4 * embd.max(queries) + 2 * values
        };
        let logits = demand.outputs.min(ubatch).saturating_mul(4 * self.n_vocab);
        let state = if self.inner > 0 { 6 * self.inner + 4 * embd } else { 0 };
        let attention = scores.saturating_add(bytes(attention)).max(bytes(state));
        if behind == Behind::Everything {
            let ffn = bytes(self.feed_forward() + 5 * embd + FEW);
            let attention = attention.saturating_add(bytes(embd + indices));
            return Compute { cpu: mask.saturating_add(ffn.max(attention)).max(logits), card: 0 };
        }
        let cpu = mask.saturating_add(bytes(4 * embd + indices + FEW));
        // A card computes the experts and the shared one beside them in one go.
        let (up, down) = (self.experts_up, self.experts_down);
        let beside = if up > 0 { 3 * self.n_ff + up } else { 0 };
        let ffn = bytes(self.feed_forward().max(beside) + 4 * embd + FEW);
        // Prompts are computed on the card also for what lies beside it: the weights and the cache
        // are lent to it, one matrix or layer after the other.
        let experts =
            bytes((2 * up).max(up + down) + 5 * embd).saturating_add(self.largest_experts);
        let moment = match behind {
            Behind::Everything | Behind::Nothing => ffn.max(attention),
            Behind::Experts => ffn.max(attention).max(experts),
            Behind::Layers => {
                let cache = (0..self.layers.len()).map(|i| self.kv(i, demand)).max().unwrap_or(0);
                let experts = if self.largest_experts > 0 { experts } else { 0 };
                self.with_lent_matrix(ffn.saturating_add(bytes(2 * embd)), cache, bytes)
                    .max(attention.saturating_add(cache))
                    .max(experts)
            }
        };
        // Where the logits fit into no room that something else has left, they lie behind it all.
        let card = if logits <= moment.max(mask) {
            mask.saturating_add(moment)
        } else {
            mask.saturating_add(logits).saturating_add(bytes(4 * embd))
        };
        Compute { cpu, card }
    }

    /// Floats a token needs inside a feed-forward layer: of the experts it uses, or of the dense
    /// layer where that is wider.
    fn feed_forward(&self) -> u64 {
        let experts = experts_width(self.n_embd, self.experts_up, self.experts_down);
        dense_width(self.n_embd, self.n_ff).max(experts)
    }

    /// Bytes of the larger of two moments of a dense layer whose matrices are lent to a card: while
    /// the results are projected up, and behind that, for which `ffn` bytes are needed. There the
    /// matrix takes the room of the cache that was lent before it, or that of a result, if it fits.
    fn with_lent_matrix(&self, ffn: u64, cache: u64, bytes: impl Fn(u64) -> u64) -> u64 {
        let matrix = self.largest;
        // What a narrow layer's attention has left takes its results.
        let left = if self.n_ff <= 2 * self.n_embd { 2 * self.n_embd } else { 0 };
        let up = bytes(2 * self.n_ff + 5 * self.n_embd - left).saturating_add(matrix);
        let is_behind = cache < matrix && matrix < bytes(self.n_ff);
        up.max(ffn.saturating_add(if is_behind { matrix } else { 0 }))
    }
}

/// Floats a token needs inside a dense layer `n_ff` wide: two projections up and their product. A
/// narrow one fits into what the attention before it has left.
fn dense_width(n_embd: u64, n_ff: u64) -> u64 {
    let left = match n_ff {
        n if n <= n_embd => 3,
        n if n <= 2 * n_embd => 2,
        _ => 0,
    };
    (3 * n_ff).saturating_sub(left * n_embd)
}

/// Floats a token needs inside a layer of experts, of `up` numbers in those it uses and `down`
/// numbers behind them: two projections up and their product, or the projections down, whichever
/// is more. Where these are too large for the hole that those leave, llama.cpp's allocator puts
/// them behind; it needs no hole for what is no wider than the layer's own input.
fn experts_width(n_embd: u64, up: u64, down: u64) -> u64 {
    let product = up.saturating_mul(3);
    if up > n_embd && down > product { product.saturating_add(down) } else { down.max(product) }
}
