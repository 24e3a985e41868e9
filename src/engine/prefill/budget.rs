//! The number of prompt tokens in a step, from the measured throughput of earlier steps.
//!
//! A lone prompt gets steps of up to a quarter of a second. While other slots decode or prefill,
//! steps are cut to the target duration, and [`Pace`] takes over where even the smallest such steps
//! are slow. The result never exceeds the batch.

use std::time::Duration;

use super::pace::{Pace, PaceMode};
use super::wide::wide_step;
use super::{BLOCK_TOKENS, StepTokens, TILE_TOKENS};

/// Decides how many prompt tokens join a step, and learns from how long steps take.
#[derive(Debug)]
pub(in crate::engine) struct PrefillBudget {
    /// Target duration of a step.
    target: Duration,
    /// Most tokens of a step.
    n_ubatch: usize,
    /// Throughput of prefill: moving average over steps with prompt tokens; `None` before the
    /// first.
    tokens_per_second: Option<f64>,
    /// Changes the size of steps while other slots decode.
    pace: Pace,
}

impl PrefillBudget {
    pub(in crate::engine) fn new(target: Duration, n_ubatch: usize) -> Self {
        Self { target, n_ubatch, tokens_per_second: None, pace: Pace::new(target, n_ubatch) }
    }

    /// Number of prompt tokens that may join a step with `n_decoding` decoding slots of one token
    /// each. `remaining` lists the prompt tokens that each prefilling slot still has to compute.
    /// `has_only_new_streams` says that no decoding slot has generated more than
    /// [`NEW_STREAM_TOKENS`].
    pub(in crate::engine) fn prompt_tokens(
        &self,
        n_decoding: usize,
        has_only_new_streams: bool,
        remaining: &[usize],
    ) -> usize {
        let is_alone = n_decoding == 0 && remaining.len() <= 1;
        let has_only_short_prompts = || remaining.iter().all(|&n| n <= TILE_TOKENS);
        let is_relaxed = is_alone || has_only_new_streams && has_only_short_prompts();
        let target = if is_relaxed { RELAXED_TARGET.max(self.target) } else { self.target };
        let step = match self.pace.mode(n_decoding) {
            PaceMode::Wide => wide_step(n_decoding),
            PaceMode::Shrunk => self.pace.smallest_step(n_decoding),
            PaceMode::Measured if is_alone => self.step_within(target, n_decoding).max(TILE_TOKENS),
            PaceMode::Measured => {
                self.step_within(target, n_decoding).max(self.pace.smallest_step(n_decoding))
            }
        };
        // A short last step would cost nearly as much as a full one, so the rest joins this one.
        let rest = remaining.first().filter(|&&rest| is_alone && rest <= 2 * step);
        rest.copied().unwrap_or(step).min(self.n_ubatch).saturating_sub(n_decoding)
    }

    /// Learns that a step took `elapsed`.
    pub(in crate::engine) fn observe(&mut self, step: StepTokens, elapsed: Duration) {
        self.pace.observe(step, elapsed);
        if step.n_prompt < MIN_MEASURED_TOKENS || elapsed.is_zero() {
            return;
        }
        let measured = (step.n_decoding + step.n_prompt) as f64 / elapsed.as_secs_f64();
        self.tokens_per_second = Some(match self.tokens_per_second {
            Some(average) => (average + measured) / 2.0,
            None => measured,
        });
    }

    /// Number of tokens of a step that takes about `target`, to the nearest multiple of a block.
    fn step_within(&self, target: Duration, n_decoding: usize) -> usize {
        let tokens = match self.tokens_per_second {
            Some(rate) => (rate * target.as_secs_f64()) as usize,
            // Before the first measurement a step is small. A slow machine would compute a whole
            // batch for seconds, and a step can be cancelled only between two operations.
            None if n_decoding == 0 => TILE_TOKENS,
            None => BLOCK_TOKENS,
        };
        (tokens + BLOCK_TOKENS / 2) / BLOCK_TOKENS * BLOCK_TOKENS
    }
}

/// A stream counts as new up to this number of tokens. While all streams are new, short prompts may
/// be prefilled in longer steps. (ADR-0010)
pub(in crate::engine) const NEW_STREAM_TOKENS: usize = 8;

/// Target duration of a step with a lone prompt, or with short prompts while all streams are new.
/// It bounds how long a short prompt waits that arrives during the prefill of a long one.
/// (ADR-0010)
const RELAXED_TARGET: Duration = Duration::from_millis(250);

/// Steps with fewer prompt tokens say little about the prefill throughput.
const MIN_MEASURED_TOKENS: usize = 8;
