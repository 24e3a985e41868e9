//! Which of llama.cpp's two attention implementations suits a model on a CPU.

/// The facts that the choice of the attention implementation depends on.
#[derive(Debug, Clone, Copy)]
pub(in crate::llama) struct AttentionFacts {
    /// Whether the user asked for flash attention or against it; `None` for no preference.
    pub(in crate::llama) requested: Option<bool>,
    /// Whether the head size is not a multiple of [`HEAD_STEP`], so that flash attention is slow on
    /// a CPU.
    pub(in crate::llama) has_unaligned_heads: bool,
    /// Whether layers are offloaded to a GPU.
    pub(in crate::llama) is_offloaded: bool,
    /// Whether the KV cache is quantized, which only flash attention can read.
    pub(in crate::llama) is_kv_quantized: bool,
    /// Bytes of the compute buffer without flash attention, most of which are the attention scores.
    pub(in crate::llama) score_bytes: u64,
}

impl AttentionFacts {
    /// Whether to use flash attention; `None` leaves the choice to llama.cpp, which uses it if the
    /// backend can.
    pub(in crate::llama) fn flash_attention(self) -> Option<bool> {
        let is_faster_without = self.has_unaligned_heads
            && !self.is_offloaded
            && !self.is_kv_quantized
            && self.score_bytes <= MAX_SCORE_BYTES;
        self.requested.or_else(|| is_faster_without.then_some(false))
    }
}

/// Number of values of a head that flash attention on a CPU computes at once. It computes the
/// values beyond a multiple of this number one by one (`GGML_F16_STEP` in
/// `ggml-cpu/simd-mappings.h`) (ADR-0005, ADR-0006).
pub(super) const HEAD_STEP: u64 = 32;

/// Largest compute buffer that is worth avoiding flash attention for, in bytes (ADR-0005).
const MAX_SCORE_BYTES: u64 = 512 << 20;
