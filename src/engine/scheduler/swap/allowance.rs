//! How many bytes an iteration may copy from the KV cache to host RAM.
//!
//! A copy delays the next step. How long that may be depends on what it delays: the next token of a
//! stream while slots decode, otherwise only prompts.

/// The bytes that one iteration may copy, by occasion. The defaults are the constants below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::scheduler) struct CopyLimits {
    /// To mirror a sequence while the engine is idle.
    pub(super) idle: usize,
    /// To swap out excess sequences while a slot decodes.
    pub(super) excess_decoding: usize,
    /// To swap out excess sequences while no slot decodes.
    pub(super) excess_prefilling: usize,
    /// To make space for the next request while a slot decodes.
    pub(super) admission_decoding: usize,
    /// To make space for the next request while no slot decodes.
    pub(super) admission_prefilling: usize,
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self {
            idle: IDLE_BYTES,
            excess_decoding: EXCESS_DECODING_BYTES,
            excess_prefilling: EXCESS_PREFILLING_BYTES,
            admission_decoding: ADMISSION_DECODING_BYTES,
            admission_prefilling: ADMISSION_PREFILLING_BYTES,
        }
    }
}

#[cfg(test)]
impl CopyLimits {
    /// Limits in the proportions of the defaults, for tests with sequences of few bytes.
    pub(in crate::engine::scheduler) fn scaled_to(excess_decoding: usize) -> Self {
        Self {
            idle: excess_decoding.div_ceil(2),
            excess_decoding,
            excess_prefilling: 8 * excess_decoding,
            admission_decoding: 16 * excess_decoding,
            admission_prefilling: 128 * excess_decoding,
        }
    }
}

/// What may still be copied before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::scheduler) enum CopyAllowance {
    /// This many bytes. A chunk that was started is finished even if it is larger, and no further
    /// chunk is started once a request is cancelled, so that it can end.
    Bytes(usize),
    /// As many bytes as necessary.
    Unlimited,
}

impl CopyAllowance {
    /// Whether no further chunk may be started.
    pub(super) fn is_used_up(self) -> bool {
        self == Self::Bytes(0)
    }

    /// Approximate bytes of the next chunk.
    pub(super) fn chunk_bytes(self) -> usize {
        match self {
            Self::Bytes(left) => CHUNK_BYTES.min(left),
            Self::Unlimited => CHUNK_BYTES,
        }
    }

    /// Subtracts the bytes of a copied chunk, down to 0.
    pub(super) fn spend(&mut self, bytes: usize) {
        if let Self::Bytes(left) = self {
            *left = left.saturating_sub(bytes);
        }
    }
}

// The byte limits of all copies. They bound how long the next step, or a request that has just
// arrived, waits for copying.

/// Bytes of a chunk. llama.cpp exports transposed values with up to 16 times their size in
/// temporary memory, which this bounds. (ADR-0003)
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes per iteration while idle: a request that arrives waits for one chunk. (ADR-0003)
const IDLE_BYTES: usize = 1 << 20;

/// Bytes per iteration of excess sequences while a slot decodes: delays its next token. (ADR-0003)
const EXCESS_DECODING_BYTES: usize = 2 << 20;

/// Bytes per iteration of excess sequences while no slot decodes: delays prefill, which is faster
/// afterwards. (ADR-0003)
const EXCESS_PREFILLING_BYTES: usize = 16 << 20;

/// Bytes per iteration for the next request while a slot decodes: delays the next token of the
/// slot, but brings the first token of the request sooner. (ADR-0003)
const ADMISSION_DECODING_BYTES: usize = 32 << 20;

/// Bytes per iteration for the next request while no slot decodes: delays prefill only. (ADR-0003)
const ADMISSION_PREFILLING_BYTES: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_limits_have_the_proportions_of_the_defaults() {
        assert_eq!(CopyLimits::scaled_to(EXCESS_DECODING_BYTES), CopyLimits::default());
    }
}
