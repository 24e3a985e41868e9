//! Which parts of a sequence a request can go on from, and how prompts are divided for it.
//!
//! This depends on the architecture: recurrent states cover a whole sequence, and layers with a
//! sliding window store only the end of a sequence.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::ChunkRules;
use crate::llama::model_ptr::model_ptr;

/// Which parts of a sequence can be used again.
#[derive(Debug, Clone, Copy)]
pub(in crate::llama) struct SequenceReuse {
    /// Whether the model has a recurrent state.
    is_recurrent: bool,
    /// Length of the sliding window in tokens; 0 if the model has none.
    window: usize,
    /// Whether attention works in tiles.
    has_tiles: bool,
}

impl SequenceReuse {
    /// `has_tiles` says whether attention works in tiles, which flash attention does on a CPU.
    pub(in crate::llama) fn of(model: &LlamaModel, has_tiles: bool) -> Self {
        // SAFETY: the pointer is to a loaded model, which outlives the call; it only reads it.
        let window = unsafe { sys::llama_model_n_swa(model_ptr(model)) };
        Self {
            is_recurrent: model.is_recurrent() || model.is_hybrid(),
            window: usize::try_from(window).unwrap_or(0),
            has_tiles,
        }
    }

    /// Whether rejected draft tokens can be removed. A recurrent state covers the whole sequence
    /// and cannot be cut back.
    pub(in crate::llama) fn can_draft(self) -> bool {
        !self.is_recurrent
    }

    /// Whether any token can be dropped again without a loss. In a sliding window a token takes the
    /// place of an older one.
    pub(in crate::llama) fn can_drop_tokens(self) -> bool {
        !self.is_recurrent && self.window == 0
    }

    /// Whether a request can go on from position `n` of a sequence of `len` positions, of which the
    /// cache has those from `first` on.
    pub(super) fn can_resume(self, first: usize, len: usize, n: usize) -> bool {
        // The token at position `n` attends to the last `window` positions before it.
        let is_complete = self.window == 0 || first <= n.saturating_sub(self.window);
        if self.is_recurrent { n == len } else { n <= len && is_complete }
    }

    /// The first position that a copy of a sequence of `len` positions has. Of a layer with a
    /// window, llama.cpp exports the window only.
    pub(super) fn first_exported(self, len: usize) -> usize {
        if self.window == 0 { 0 } else { len.saturating_sub(self.window) }
    }

    /// How prompts are divided into chunks.
    pub(super) fn chunk_rules(self) -> ChunkRules {
        ChunkRules {
            align: ROWS_AT_ONCE,
            min_tokens: MIN_CHUNK_TOKENS,
            tile_tokens: self.has_tiles.then_some(TILE_TOKENS),
        }
    }
}

/// llama.cpp's CPU kernels for repacked weights multiply this many rows at once, and the rest one
/// by one. (ADR-0027)
const ROWS_AT_ONCE: usize = 4;

/// Smaller chunks may be computed by kernels for few rows. (ADR-0027)
const MIN_CHUNK_TOKENS: usize = 16;

/// From this many tokens on, llama.cpp's CPU flash attention works in tiles (`GGML_FA_TILE_Q`).
/// (ADR-0027)
const TILE_TOKENS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: SequenceReuse = SequenceReuse { is_recurrent: false, window: 0, has_tiles: true };

    #[test]
    fn sequence_can_be_resumed_where_the_cache_has_what_the_next_token_needs() {
        let windowed = SequenceReuse { window: 100, ..PLAIN };
        let recurrent = SequenceReuse { is_recurrent: true, ..PLAIN };
        for (reuse, first, len, n, can) in [
            (PLAIN, 0, 500, 300, true),
            (PLAIN, 0, 500, 501, false),
            (windowed, 0, 500, 300, true),
            (windowed, 200, 500, 300, true),
            (windowed, 201, 500, 300, false),
            (windowed, 0, 50, 20, true),
            (recurrent, 0, 500, 500, true),
            (recurrent, 0, 500, 499, false),
        ] {
            assert_eq!(reuse.can_resume(first, len, n), can, "{reuse:?} {first} {len} {n}");
        }
        assert_eq!((windowed.first_exported(500), windowed.first_exported(50)), (400, 0));
        assert_eq!(PLAIN.first_exported(500), 0);
    }
}
