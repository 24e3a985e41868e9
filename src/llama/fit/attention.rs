//! Which of llama.cpp's two ways to compute attention suits a model on a CPU.

/// llama.cpp's flash attention on a CPU computes this many numbers of a head at once, and those
/// beyond a multiple of it one by one (`GGML_F16_STEP` in `ggml-cpu/simd-mappings.h`). With AVX-512
/// it takes 64; that does not count here, since whole heads of 32 lose more in reading without it than
/// they win in generating (`docs/ARCHITECTURE.md`).
pub(in crate::llama) const HEAD_STEP: u64 = 32;

/// Most bytes that the scores of all heads may take: without flash attention they are kept for a
/// whole step. A model of 15M weights with eight slots of 4,096 tokens needs 450 MiB; far beyond
/// that its slow heads are the lesser evil.
const MAX_SCORES: u64 = 512 << 20;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(in crate::llama) struct Situation {
    /// What was asked for.
    pub(in crate::llama) asked: Option<bool>,
    /// Whether flash attention computes the heads slowly on a CPU.
    pub(in crate::llama) has_odd_heads: bool,
    /// Whether layers lie on a card.
    pub(in crate::llama) is_offloaded: bool,
    /// Whether the KV cache is not of floats, which only flash attention reads.
    pub(in crate::llama) is_packed: bool,
    /// Bytes of a step without flash attention.
    pub(in crate::llama) scores: u64,
}

impl Situation {
    /// Whether to use flash attention; `None` leaves it to llama.cpp, which uses it where the
    /// backend can.
    pub(in crate::llama) fn choice(self) -> Option<bool> {
        let is_better_off = self.has_odd_heads
            && !self.is_offloaded
            && !self.is_packed
            && self.scores <= MAX_SCORES;
        self.asked.or_else(|| is_better_off.then_some(false))
    }
}
