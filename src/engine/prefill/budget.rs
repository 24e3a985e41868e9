//! The number of prompt tokens in a step, from the measured throughput of earlier steps.

use std::time::Duration;

use super::pace::{Pace, PaceMode};
use super::wide::wide_step;
use super::{BLOCK_TOKENS, StepTokens, TILE_TOKENS};

/// Decides how many prompt tokens join a step, and learns from how long steps take.
#[derive(Debug)]
pub(in crate::engine) struct PrefillBudget {
    /// Target duration of a step.
    target: Duration,
    n_batch: usize,
    /// Moving average over steps with prompt tokens; `None` before the first.
    tokens_per_second: Option<f64>,
    pace: Pace,
}

impl PrefillBudget {
    pub(in crate::engine) fn new(target: Duration, n_batch: usize) -> Self {
        Self { target, n_batch, tokens_per_second: None, pace: Pace::new(target, n_batch) }
    }

    /// How many prompt tokens may join a step with `decoding` slots of one token each. `remaining`
    /// lists the prompt tokens that each prefilling slot still has to compute. `streams_are_new`
    /// says that none of the decoding slots has generated more than [`NEW_STREAM_TOKENS`].
    pub(in crate::engine) fn prompt_tokens(
        &self,
        decoding: usize,
        streams_are_new: bool,
        remaining: &[usize],
    ) -> usize {
        let is_alone = decoding == 0 && remaining.len() <= 1;
        let are_short = || remaining.iter().all(|&n| n <= TILE_TOKENS);
        let is_relaxed = is_alone || streams_are_new && are_short();
        let target = if is_relaxed { RELAXED_TARGET.max(self.target) } else { self.target };
        let step = match self.pace.mode(decoding) {
            PaceMode::Wide => wide_step(decoding),
            PaceMode::Shrunk => self.pace.smallest_step(decoding),
            PaceMode::Measured if is_alone => self.step_within(target, decoding).max(TILE_TOKENS),
            PaceMode::Measured => {
                self.step_within(target, decoding).max(self.pace.smallest_step(decoding))
            }
        };
        // A short last step would cost nearly as much as a full one, so the rest joins this one.
        let rest = remaining.first().filter(|&&rest| is_alone && rest <= 2 * step);
        rest.copied().unwrap_or(step).min(self.n_batch).saturating_sub(decoding)
    }

    /// Learns that a step took `elapsed`.
    pub(in crate::engine) fn observe(&mut self, step: StepTokens, elapsed: Duration) {
        self.pace.observe(step, elapsed);
        if step.prompt < MIN_MEASURED_TOKENS || elapsed.is_zero() {
            return;
        }
        let measured = (step.decoding + step.prompt) as f64 / elapsed.as_secs_f64();
        self.tokens_per_second = Some(match self.tokens_per_second {
            Some(average) => (average + measured) / 2.0,
            None => measured,
        });
    }

    /// The tokens of a step that takes about `target`, to the nearest multiple of a block.
    fn step_within(&self, target: Duration, decoding: usize) -> usize {
        let tokens = match self.tokens_per_second {
            Some(rate) => (rate * target.as_secs_f64()) as usize,
            // Not a whole batch before the first measurement: a slow machine would compute it for
            // seconds, and a step can be cancelled only between two operations.
            None if decoding == 0 => TILE_TOKENS,
            None => BLOCK_TOKENS,
        };
        (tokens + BLOCK_TOKENS / 2) / BLOCK_TOKENS * BLOCK_TOKENS
    }
}

/// Until a stream has more tokens than this it counts as new, and short prompts may be prefilled
/// beside it in longer steps. (ADR-0010)
pub(in crate::engine) const NEW_STREAM_TOKENS: usize = 8;

/// Target duration of a step with a lone prompt, or with short prompts while all streams are new.
/// It bounds how long a short prompt waits that arrives during the prefill of a long one.
/// (ADR-0010)
const RELAXED_TARGET: Duration = Duration::from_millis(250);

/// Steps with fewer prompt tokens tell little about the prefill throughput.
const MIN_MEASURED_TOKENS: usize = 8;
