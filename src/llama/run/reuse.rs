//! Which sequences of a model can be shared, cached and swapped out.
//!
//! This depends on the architecture: recurrent states cover a whole sequence, and layers with a
//! sliding window store only the end of a sequence.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::llama::model_ptr::model_ptr;

/// Which sequences of a model can be shared, cached and swapped out.
#[derive(Debug, Clone, Copy)]
pub(in crate::llama) struct SequenceReuse {
    /// Whether sequences can be split and truncated: the model has no recurrent state.
    can_share: bool,
    /// Length of the sliding window in tokens; 0 if the model has none.
    window: usize,
    /// Whether sliding-window layers have cells only for the sequences of the slots.
    has_slot_cells_only: bool,
    /// Whether attention is computed on the CPU.
    is_on_cpu: bool,
}

impl SequenceReuse {
    /// `has_slot_cells_only` says whether sliding-window layers have cells only for the sequences
    /// of the slots, and `is_offloaded` whether layers are on a GPU.
    pub(in crate::llama) fn of(
        model: &LlamaModel,
        has_slot_cells_only: bool,
        is_offloaded: bool,
    ) -> Self {
        // SAFETY: the pointer is to a loaded model, which outlives the call; it only reads it.
        let window = unsafe { sys::llama_model_n_swa(model_ptr(model)) };
        Self {
            can_share: !model.is_recurrent() && !model.is_hybrid(),
            window: usize::try_from(window).unwrap_or(0),
            has_slot_cells_only,
            is_on_cpu: !is_offloaded,
        }
    }

    /// Whether sequences can be cached, shared up to any position, and truncated. A recurrent state
    /// covers the whole sequence, so it can be neither split nor cut back.
    pub(in crate::llama) fn can_share(self) -> bool {
        self.can_share
    }

    /// Whether sequences can be swapped out. llama.cpp exports only the window of a sliding-window
    /// layer. This would be useless to a request that branches off a few tokens before the end of
    /// the sequence, as the next turn of a chat may.
    pub(in crate::llama) fn can_swap(self) -> bool {
        self.can_share && self.window == 0
    }

    /// Length of the sliding window of attention in tokens; 0 if all layers attend to everything.
    pub(super) fn window(self) -> usize {
        self.window
    }

    /// Tokens of cached sequences that may stay in a KV cache of `kv_tokens` while requests run.
    ///
    /// On a CPU attention visits every cell of the cache for every token, including the cells of
    /// other sequences, which it masks. Cached sequences therefore slow every request down, and are
    /// swapped out if they can be (ADR-0003).
    pub(super) fn cacheable_tokens(self, kv_tokens: usize) -> usize {
        if self.is_on_cpu && self.can_swap() { 0 } else { kv_tokens }
    }

    /// Maximum number of sequences, running and cached together; `None` if only their tokens are
    /// limited (ADR-0004).
    pub(super) fn max_sequences(self, n_slots: usize) -> Option<usize> {
        self.has_slot_cells_only.then_some(n_slots)
    }
}
