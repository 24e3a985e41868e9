//! Estimates the size of llama.cpp's compute buffers, which hold the intermediate results of a
//! step.
//!
//! llama.cpp reuses the memory of a result once nothing needs it any more, so the buffer is as
//! large as the results at the moment of a step that needs most. Each sum below is such a moment,
//! in floats per token. They were fitted to what llama.cpp reports on a CPU and on Vulkan's
//! software device (`docs/GPU.md` has the models and the deviations, ADR-0014 the method); for
//! other shapes and backends they are estimates.

use super::sizes::{Demand, MAX_ESTIMATE_BYTES, ModelSizes};

/// Bytes of the compute buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct ComputeBuffers {
    /// On the CPU.
    pub(in crate::llama) cpu: u64,
    /// On each GPU that has layers.
    pub(in crate::llama) gpu: u64,
}

/// Which parts of a model stay on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) enum CpuShare {
    /// All of it.
    Everything,
    /// Some layers.
    Layers,
    /// The experts of some layers, and no whole layers.
    Experts,
    /// Only the token embeddings.
    Embeddings,
}

impl ModelSizes {
    /// Bytes of the compute buffers if `cpu_share` stays on the CPU.
    pub(in crate::llama) fn compute_buffers(
        &self,
        demand: &Demand,
        cpu_share: CpuShare,
    ) -> ComputeBuffers {
        // llama.cpp makes no step larger than the KV cache.
        let all_cells = demand.cells().saturating_mul(demand.n_slots);
        let step = LargestStep { sizes: self, demand, n_tokens: demand.n_ubatch.min(all_cells) };
        if cpu_share == CpuShare::Everything {
            ComputeBuffers { cpu: step.all_on_cpu().min(MAX_ESTIMATE_BYTES), gpu: 0 }
        } else {
            ComputeBuffers {
                cpu: step.inputs_on_cpu().min(MAX_ESTIMATE_BYTES),
                gpu: step.on_gpu(cpu_share).min(MAX_ESTIMATE_BYTES),
            }
        }
    }
}

/// The largest step that the context computes.
struct LargestStep<'a> {
    sizes: &'a ModelSizes,
    demand: &'a Demand,
    /// Tokens of the step.
    n_tokens: u64,
}

impl LargestStep<'_> {
    /// Bytes of `floats` per token.
    fn bytes(&self, floats: u64) -> u64 {
        floats.saturating_mul(4 * self.n_tokens)
    }

    /// Bytes of the CPU's buffer if it computes everything.
    fn all_on_cpu(&self) -> u64 {
        let embd = self.sizes.n_embd;
        let ffn = self.bytes(self.feed_forward() + 5 * embd + INDEX_FLOATS_PER_TOKEN);
        let attention = self.attention().saturating_add(self.bytes(embd + self.value_indices()));
        self.mask().saturating_add(ffn.max(attention)).max(self.logits())
    }

    /// Bytes of the CPU's buffer if a GPU computes: the inputs of the step.
    fn inputs_on_cpu(&self) -> u64 {
        let floats = 4 * self.sizes.n_embd + self.value_indices() + INDEX_FLOATS_PER_TOKEN;
        self.mask().saturating_add(self.bytes(floats))
    }

    /// Bytes of a GPU's buffer.
    fn on_gpu(&self, cpu_share: CpuShare) -> u64 {
        let Self { sizes, .. } = *self;
        let embd = sizes.n_embd;
        // A GPU computes the experts and the shared expert next to them in one go.
        let (up, down) = (sizes.experts_up, sizes.experts_down);
        let with_shared = if up > 0 { 3 * sizes.n_ff + up } else { 0 };
        let ffn =
            self.bytes(self.feed_forward().max(with_shared) + 4 * embd + INDEX_FLOATS_PER_TOKEN);
        let attention = self.attention();
        // Large batches are computed on the GPU even for parts that stay on the CPU. Their weights
        // and KV cache are copied to the GPU, one matrix or layer at a time.
        let experts = self
            .bytes((2 * up).max(up + down) + 5 * embd)
            .saturating_add(sizes.largest_expert_matrix);
        let worst = match cpu_share {
            CpuShare::Everything | CpuShare::Embeddings => ffn.max(attention),
            CpuShare::Experts => ffn.max(attention).max(experts),
            CpuShare::Layers => {
                let n_layers = sizes.layers.len();
                let cache =
                    (0..n_layers).map(|i| sizes.kv_bytes(i, self.demand)).max().unwrap_or(0);
                let experts = if sizes.largest_expert_matrix > 0 { experts } else { 0 };
                self.with_copied_matrix(ffn.saturating_add(self.bytes(2 * embd)), cache)
                    .max(attention.saturating_add(cache))
                    .max(experts)
            }
        };
        // Logits that do not fit into freed memory are placed after everything else.
        let (mask, logits) = (self.mask(), self.logits());
        if logits <= worst.max(mask) {
            mask.saturating_add(worst)
        } else {
            mask.saturating_add(logits).saturating_add(self.bytes(4 * embd))
        }
    }

    /// Bytes of the attention masks: one for full-attention layers and one for windowed layers, of
    /// half floats with flash attention.
    fn mask(&self) -> u64 {
        let has_full = self.has_cached_layers(false);
        let has_windowed = self.has_cached_layers(true);
        let cells = if has_full { self.demand.cells() } else { 0 }
            + if has_windowed { self.sizes.windowed_cells(self.demand) } else { 0 };
        self.bytes(if self.demand.flash_attention { cells / 2 } else { cells })
    }

    /// Floats per token for the indices of values. Without flash attention every value is stored by
    /// a 64-bit index of its own, for windowed layers and for others.
    fn value_indices(&self) -> u64 {
        let n_kinds = if self.has_cached_layers(true) { 2 } else { 1 };
        if self.demand.flash_attention { 0 } else { 2 * self.sizes.max_values() * n_kinds }
    }

    /// Whether a layer with a KV cache is windowed, or is not.
    fn has_cached_layers(&self, is_windowed: bool) -> bool {
        let mut cached = self.sizes.layers.iter().filter(|layer| layer.cache.keys > 0);
        cached.any(|layer| layer.cache.is_windowed == is_windowed)
    }

    /// Bytes of attention, or of the recurrent state's layer if that needs more.
    fn attention(&self) -> u64 {
        let Self { sizes, demand, .. } = *self;
        let (embd, queries, values) = (sizes.n_embd, sizes.query_width, sizes.max_values());
        let (scores, floats) = if demand.flash_attention {
            (0, 3 * queries + values + 2 * embd)
        } else {
            let scores = self.bytes(demand.cells().saturating_mul(sizes.n_head));
            (scores, 4 * embd.max(queries) + 2 * values)
        };
        let inner = sizes.state_width;
        let state = if inner > 0 { 6 * inner + 4 * embd } else { 0 };
        scores.saturating_add(self.bytes(floats)).max(self.bytes(state))
    }

    /// Bytes of the logits.
    fn logits(&self) -> u64 {
        self.demand.n_outputs.min(self.n_tokens).saturating_mul(4 * self.sizes.n_vocab)
    }

    /// Floats per token inside a feed-forward layer: of the experts it uses, or of the dense layer
    /// if that is wider.
    fn feed_forward(&self) -> u64 {
        let Self { sizes, .. } = *self;
        let experts = experts_width(sizes.n_embd, sizes.experts_up, sizes.experts_down);
        dense_width(sizes.n_embd, sizes.n_ff).max(experts)
    }

    /// Bytes of the larger of two moments of a dense layer whose matrices are copied to the GPU:
    /// the up projection, and the time after it, which needs `ffn` bytes. For the latter the matrix
    /// takes the memory of the KV cache that was copied before it, or of a result, if it fits
    /// there.
    fn with_copied_matrix(&self, ffn: u64, cache: u64) -> u64 {
        let Self { sizes, .. } = *self;
        let matrix = sizes.largest_matrix;
        // The results of a narrow layer reuse memory that its attention has freed.
        let reused = if sizes.n_ff <= 2 * sizes.n_embd { 2 * sizes.n_embd } else { 0 };
        let up = self.bytes(2 * sizes.n_ff + 5 * sizes.n_embd - reused).saturating_add(matrix);
        let needs_own_memory = cache < matrix && matrix < self.bytes(sizes.n_ff);
        up.max(ffn.saturating_add(if needs_own_memory { matrix } else { 0 }))
    }
}

/// Floats per token inside a dense layer of width `n_ff`: two up projections and their product. A
/// narrow layer reuses memory that the attention before it has freed.
fn dense_width(n_embd: u64, n_ff: u64) -> u64 {
    let reused = match n_ff {
        n if n <= n_embd => 3,
        n if n <= 2 * n_embd => 2,
        _ => 0,
    };
    (3 * n_ff).saturating_sub(reused * n_embd)
}

/// Floats per token inside a layer of experts, whose used experts have `up` numbers inside and
/// `down` numbers as outputs: two up projections and their product, or the down projections,
/// whichever is more. If the down projections do not fit into the memory that the others free,
/// llama.cpp's allocator places them after it; experts no wider than the layer's input always fit.
fn experts_width(n_embd: u64, up: u64, down: u64) -> u64 {
    let product = up.saturating_mul(3);
    if up > n_embd && down > product { product.saturating_add(down) } else { down.max(product) }
}

/// Floats per token for ids, positions and cell indices.
const INDEX_FLOATS_PER_TOKEN: u64 = 10;
