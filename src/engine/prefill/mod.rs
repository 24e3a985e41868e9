//! How many prompt tokens a step computes, and for which slots.
//!
//! Decoding slots get their tokens first. [`PrefillBudget`] then decides how many prompt tokens may
//! lengthen their step. Usually it is the number that the measured throughput allows within the
//! target duration. Where steps of that size are slow, [`Pace`](pace::Pace) lowers the number.
//! [`share_budget`] divides the result among the prefilling slots, and
//! [`let_short_prompts_overtake`] may give a step to short prompts alone. This module is arithmetic
//! on token counts and durations and never reads a clock.

mod budget;
mod pace;
mod share;

pub(super) use self::budget::{NEW_STREAM_TOKENS, PrefillBudget};
pub(super) use self::share::{
    PrefixClaim, STEPS_BETWEEN_OVERTAKES, let_short_prompts_overtake, share_budget,
};

/// The tokens of a step, by kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepTokens {
    /// Number of tokens of decoding slots, one for each.
    pub(super) n_decoding: usize,
    /// Number of prompt tokens.
    pub(super) n_prompt: usize,
    /// Number of draft tokens.
    pub(super) n_drafted: usize,
    /// The depth of prefill in tokens: the largest number of prompt tokens in the KV cache among
    /// the prefilling slots, whether or not they are part of the step.
    pub(super) depth: usize,
}

/// A step has a multiple of this many prompt tokens, and at least this many unless such steps are
/// slow: llama.cpp's CPU kernels multiply this many rows at once. (ADR-0010)
const BLOCK_TOKENS: usize = 16;

/// From this many tokens on, llama.cpp's CPU flash attention works in tiles (`GGML_FA_TILE_Q`),
/// which compute a token much faster. (ADR-0010)
const TILE_TOKENS: usize = 64;

#[cfg(test)]
mod tests;
