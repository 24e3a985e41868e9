//! How large the chunks of prompts are while slots decode.
//!
//! Usually a chunk is as large as the measured throughput allows, but at least a block. At large
//! depths attention dominates, and its cost is proportional to the number of tokens. If steps with
//! the smallest chunk are still slow there, [`Pace`] shrinks the chunks. (ADR-0030)

use super::BLOCK_TOKENS;

/// The pace of prefill, as the latest steps have left it. `was_slow` says whether the latest step
/// was slow; a single slow step may be an outlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The measured throughput decides, but a chunk has at least [`BLOCK_TOKENS`].
    Measured { was_slow: bool },
    /// Chunks have `n_tokens`, fewer than [`BLOCK_TOKENS`], because larger ones were slow.
    Shrunk { n_tokens: usize, was_slow: bool },
}

/// What a step says about the pace. Only steps with the smallest chunk of the pace count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PaceEvent {
    /// The step took too long.
    SlowStep,
    /// The step did not take too long.
    TimelyStep,
    /// The step would not have taken too long with twice the tokens.
    FastStep,
    /// No prompt is left, or another prompt starts.
    PromptEnd,
}

impl Pace {
    /// The pace at the start of a prompt.
    pub(super) const START: Self = Self::Measured { was_slow: false };

    /// The pace after `event`.
    pub(super) fn after(self, event: PaceEvent) -> Self {
        use PaceEvent::{FastStep, PromptEnd, SlowStep, TimelyStep};
        match (self, event) {
            (_, PromptEnd) => Self::START,
            (Self::Measured { was_slow: true }, SlowStep) => Self::shrunk(BLOCK_TOKENS / 2),
            (Self::Measured { .. }, event) => Self::Measured { was_slow: event == SlowStep },
            (Self::Shrunk { n_tokens, was_slow: true }, SlowStep) => Self::shrunk(n_tokens / 2),
            (Self::Shrunk { n_tokens, .. }, SlowStep) => Self::Shrunk { n_tokens, was_slow: true },
            (Self::Shrunk { n_tokens, .. }, TimelyStep) => Self::shrunk(n_tokens),
            (Self::Shrunk { n_tokens, .. }, FastStep) if 2 * n_tokens >= BLOCK_TOKENS => {
                Self::START
            }
            (Self::Shrunk { n_tokens, .. }, FastStep) => Self::shrunk(2 * n_tokens),
        }
    }

    /// Number of prompt tokens of the smallest chunk.
    pub(super) fn smallest_chunk(self) -> usize {
        match self {
            Self::Measured { .. } => BLOCK_TOKENS,
            Self::Shrunk { n_tokens, .. } => n_tokens,
        }
    }

    fn shrunk(n_tokens: usize) -> Self {
        Self::Shrunk { n_tokens: n_tokens.max(MIN_SHRUNK_TOKENS), was_slow: false }
    }
}

/// Prompt tokens of the smallest chunk of all. (ADR-0030)
pub(super) const MIN_SHRUNK_TOKENS: usize = 4;

#[cfg(test)]
mod tests {
    use super::PaceEvent::{FastStep, PromptEnd, SlowStep, TimelyStep};
    use super::*;

    fn measured(was_slow: bool) -> Pace {
        Pace::Measured { was_slow }
    }

    fn shrunk(n_tokens: usize, was_slow: bool) -> Pace {
        Pace::Shrunk { n_tokens, was_slow }
    }

    #[test]
    fn pace_after_each_event_follows_the_table() {
        let transitions = [
            (measured(false), SlowStep, measured(true)),
            (measured(false), TimelyStep, measured(false)),
            (measured(false), FastStep, measured(false)),
            (measured(true), SlowStep, shrunk(8, false)),
            (measured(true), TimelyStep, measured(false)),
            (measured(true), FastStep, measured(false)),
            (measured(true), PromptEnd, measured(false)),
            (shrunk(8, false), SlowStep, shrunk(8, true)),
            (shrunk(8, true), SlowStep, shrunk(4, false)),
            (shrunk(8, true), TimelyStep, shrunk(8, false)),
            (shrunk(8, true), FastStep, measured(false)),
            (shrunk(4, true), SlowStep, shrunk(4, false)),
            (shrunk(4, false), FastStep, shrunk(8, false)),
            (shrunk(4, true), PromptEnd, measured(false)),
        ];
        for (pace, event, expected) in transitions {
            assert_eq!(pace.after(event), expected, "{pace:?} after {event:?}");
        }
    }

    #[test]
    fn smallest_chunk_is_a_block_unless_the_pace_is_shrunk() {
        assert_eq!(measured(true).smallest_chunk(), BLOCK_TOKENS);
        assert_eq!(shrunk(4, false).smallest_chunk(), 4);
    }
}
